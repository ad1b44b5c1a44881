package judge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// wiki is DokuWiki as its package installs it. It needs no database.
const wiki = "/usr/share/dokuwiki"

// wikiSite is the configuration that such a site wants: who is logged in passes
// the cache by. DokuWiki's cookie for that begins with DW, its session's does not.
const wikiSite = "cookies.bypass = [\"DW*\"]"

// Visitors of a wiki who come through surrogate get what it serves, each her own
// session, its styles and scripts from the cache, and at once what an editor saved.
func TestWiki(t *testing.T) {
	needPrograms(t, "php", "chromium")
	if _, err := os.Stat(wiki); err != nil {
		lacking(t, "the Debian package dokuwiki is not installed")
	}
	origin := startWiki(t)
	p := startProxy(t, origin, wikiSite)

	const start = "http://wiki.example/doku.php?id=start"
	ctx := within(t, 2*time.Minute)
	direct := startChrome(t, origin)
	through := startChrome(t, p.addr)

	visitor := through.newTab(t, ctx)
	want := direct.newTab(t, ctx).open(t, ctx, start)
	if len(want.got) < 10 {
		t.Fatalf("%d resources: that is no page worth looking at", len(want.got))
	}
	visitor.open(t, ctx, start).sameAs(t, want, fixed)

	again := through.newTab(t, ctx) // the same visitor with an empty cache
	again.setCookies(t, ctx, visitor.cookies(t, ctx))
	second := again.open(t, ctx, start)
	second.sameAs(t, want, fixed)
	storable := 0
	for what, r := range second.got {
		switch {
		case r.cookies != "" && r.hit():
			t.Errorf("%s: a hit that sets a cookie: %s", what, r.cookies)
		case want.got[what] != nil && want.got[what].storable():
			storable++
			if !r.hit() {
				t.Errorf("%s: no hit for the second visit: Cache-Status %q", what, r.header.Get("Cache-Status"))
			}
		}
	}
	if storable < 3 {
		t.Errorf("%d resources that may be stored: its style, scripts and jQuery should be", storable)
	}

	editor := through.newTab(t, ctx)
	editor.open(t, ctx, start+"&do=login")
	in := editor.submit(t, ctx, `document.querySelector('#dw__login [name=u]').value = 'editor';
		document.querySelector('#dw__login [name=p]').value = 'secret';
		document.querySelector('#dw__login [type=submit]').click()`)
	in.says(t, "The Editor")
	session := editor.cookies(t, ctx)
	inThrough, inDirect := through.newTab(t, ctx), direct.newTab(t, ctx)
	inThrough.setCookies(t, ctx, session)
	inDirect.setCookies(t, ctx, session)
	for { // an editor's page tells the minute, so both have to be of one
		minute := time.Now().Truncate(time.Minute)
		got, want := inThrough.open(t, ctx, start), inDirect.open(t, ctx, start)
		if time.Now().Truncate(time.Minute).Equal(minute) {
			got.sameAs(t, want, fixed)
			break
		}
	}

	editor.open(t, ctx, start+"&do=edit")
	editor.submit(t, ctx, `document.querySelector('#wiki__text').value = '====== Start ======\n\nIt says something else now.\n';
		document.querySelector('#edbtn__save').click()`).says(t, "something else now")
	for _, who := range []*tab{visitor, through.newTab(t, ctx)} {
		v := who.open(t, ctx, start)
		v.says(t, "something else now")
		if strings.Contains(v.page(), "The Editor") {
			t.Error("a visitor gets the page of the editor")
		}
	}
	t.Logf("%d resources, %d of them storable", len(second.got), storable)
}

// changing is what differs each time the wiki writes a page: the time at the end
// of the address by which it runs its chores, and tokens that are bound to a session.
var changing = regexp.MustCompile(`(taskrunner\.php\?id=\w+&(?:amp;)?)\d+|(sectok(?:=|" value="))[0-9a-f]{32}`)

// fixed is a text of the wiki without that.
func fixed(text string) string { return changing.ReplaceAllString(text, "$1$2") }

// page is the page's own text.
func (v *visit) page() string {
	for _, r := range v.got {
		if strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && !r.redirects {
			return string(r.body)
		}
	}
	return ""
}

func (v *visit) says(t *testing.T, what string) {
	t.Helper()
	if !strings.Contains(v.page(), what) {
		t.Fatalf("the page does not say %q: %s", what, v.page())
	}
}

// submit runs a script that leads to another page.
func (p *tab) submit(t *testing.T, ctx context.Context, script string) *visit {
	t.Helper()
	return p.follow(t, ctx, "submitting a form", func() { p.eval(t, ctx, script) })
}

type cookie struct{ Name, Value string }

func (p *tab) cookies(t *testing.T, ctx context.Context) []cookie {
	t.Helper()
	var r struct{ Cookies []cookie }
	p.call(t, ctx, "Network.getCookies", map[string]any{"urls": []string{"http://wiki.example/"}}, &r)
	return r.Cookies
}

func (p *tab) setCookies(t *testing.T, ctx context.Context, cookies []cookie) {
	t.Helper()
	for _, c := range cookies {
		p.call(t, ctx, "Network.setCookie", map[string]any{"name": c.Name, "value": c.Value, "url": "http://wiki.example/"}, nil)
	}
}

// startWiki runs the wiki on PHP's own server, with one page, one image and one
// editor, and returns where.
func startWiki(t *testing.T) (addr string) {
	t.Helper()
	dir := t.TempDir()
	for _, d := range strings.Fields("conf data/attic data/cache data/index data/locks data/log data/media data/media_attic data/media_meta data/meta data/pages data/tmp") {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := exec.Command("php", "-r", "echo password_hash('secret', PASSWORD_BCRYPT);").Output()
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(filepath.Join(wiki, "lib/tpl/dokuwiki/images/logo.png"))
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"first.php": fmt.Sprintf("<?php define('DOKU_CONF', '%s/conf/');\n", dir),
		"conf/local.php": fmt.Sprintf("<?php\n$conf['title'] = 'A wiki';\n$conf['savedir'] = '%s/data';\n"+
			"$conf['useacl'] = 1;\n$conf['superuser'] = 'editor';\n$conf['updatecheck'] = 0;\n", dir),
		"conf/plugins.local.php": "<?php\n$plugins['testing'] = 0;\n",
		"conf/acl.auth.php":      "*\t@ALL\t1\n*\t@user\t8\n",
		"conf/users.auth.php":    "editor:" + string(secret) + ":The Editor:editor@wiki.example:admin,user\n",
		"data/pages/start.txt":   "====== Start ======\n\nAn image {{:logo.png}}, a smile :-) and a note((here)).\n\n===== Code =====\n\n<code php>\necho 1;\n</code>\n",
		"data/media/logo.png":    string(image),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addr = "127.0.0.1:" + freePort(t)
	cmd := exec.Command("php", "-S", addr, "-t", wiki, "-d", "auto_prepend_file="+filepath.Join(dir, "first.php"))
	cmd.Env = append(os.Environ(), "PHP_CLI_SERVER_WORKERS=4") // a browser asks for several things at once
	start(t, cmd).ready(t, "http://"+addr+"/lib/exe/manifest.php")
	return addr
}
