# A static program and the certificates it checks origins with, nothing else:
# no shell, no root. It stops in order on SIGTERM.
#
#   docker build -t surrogate --build-arg VERSION=$(git describe --always) .
#   docker run -p 8080:8080 -e SURROGATE_ORIGIN=http://app:3000 surrogate
#
# The admin API listens on the container's own loopback. To reach it from outside:
#   -p 8081:8081 -e SURROGATE_ADMIN=:8081 -e SURROGATE_ADMIN_TOKEN=…
# A PURGE that comes through -p comes from the bridge's address, not from loopback, and needs a
# token: -e SURROGATE_PURGE_TOKENS=…
# A file of configuration: -v ./proxy.toml:/proxy.toml:ro -e SURROGATE_CONFIG=/proxy.toml
# HTTPS: -p 443:443 -e SURROGATE_TLS_LISTEN=:443, and the certificates, or a volume for
# acme_storage that user 65532 may write to.
# There is no HEALTHCHECK, which would need a program inside: ask /readyz of the admin API.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.buildVersion=$VERSION" -o /surrogate ./cmd/surrogate

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /surrogate /surrogate
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/surrogate"]
CMD ["serve"]
