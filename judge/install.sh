#!/bin/sh
# Installs what the tests and the judges need and this machine lacks, from the packages of
# Debian or Ubuntu. Run again, it finds nothing to do and is done at once.
set -eu

missing=""
lack() { missing="$missing $*"; }
has() { command -v "$1" >/dev/null 2>&1; }

has curl || lack curl
has node || lack nodejs
has npm || lack npm
has redis-server || lack redis-server
has nginx || lack nginx-light
has wrk || lack wrk
has h2load || lack nghttp2-client
has chromium || lack chromium
has php || lack php-cli
[ -e /usr/share/doc/python-jinja2-doc/html/index.html ] || lack python-jinja2-doc
# DokuWiki wants PHP in some web server; php-cgi is the one that brings no other.
[ -e /usr/share/dokuwiki/doku.php ] || lack dokuwiki php-xml php-cgi

[ -n "$missing" ] || exit 0

root=""
[ "$(id -u)" = 0 ] || root="sudo -n"
if ! has apt-get || { [ -n "$root" ] && ! $root true 2>/dev/null; }; then
	echo "judge/install.sh: please install:$missing" >&2
	exit 1
fi
$root apt-get -q update
# shellcheck disable=SC2086 # a list of words
$root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
