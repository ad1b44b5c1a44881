/* The floor: one canned answer for whatever is asked, from an epoll loop. What
 * this costs is the kernel's own share of a request, which no proxy can go below.
 *
 * usage: floor PORT FILE    FILE is the whole answer, head and body */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char answer[1 << 20], in[1 << 16];

static void must(int ok, const char *what) {
	if (!ok) {
		perror(what);
		exit(1);
	}
}

int main(int argc, char **argv) {
	must(argc == 3, "usage: floor PORT FILE");
	FILE *f = fopen(argv[2], "rb");
	must(f != NULL, argv[2]);
	size_t len = fread(answer, 1, sizeof answer, f);
	fclose(f);

	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, ep = epoll_create1(EPOLL_CLOEXEC);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	must(l >= 0 && ep >= 0, "socket");
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	must(bind(l, (struct sockaddr *)&at, sizeof at) == 0 && listen(l, 1024) == 0, "bind");
	struct epoll_event e = {.events = EPOLLIN, .data.fd = l}, ready[256];
	epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);

	for (;;) {
		int n = epoll_wait(ep, ready, 256, -1);
		for (int i = 0; i < n; i++) {
			int c = ready[i].data.fd;
			if (c == l) {
				if ((c = accept(l, NULL, NULL)) < 0)
					continue;
				setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				e = (struct epoll_event){.events = EPOLLIN, .data.fd = c};
				epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
				continue;
			}
			/* A client that asks again only when it has been answered sends a
			 * small request whole. */
			ssize_t got = recv(c, in, sizeof in, 0);
			size_t sent = 0;
			while (got > 0 && sent < len) {
				ssize_t w = send(c, answer + sent, len - sent, MSG_NOSIGNAL);
				if (w < 0 && errno == EINTR)
					continue;
				if (w < 0)
					got = 0;
				else
					sent += w;
			}
			if (got <= 0)
				close(c);
		}
	}
}
