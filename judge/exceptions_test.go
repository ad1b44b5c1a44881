package judge

// cut is why no cache can pass a test that cuts the connection to the origin and
// then wants a response that the origin made.
const cut = "it wants a response from an origin that has just cut the connection, which nobody can give (its authors have mended it since); " +
	"surrogate answers 502 there, and shows nothing stale that does not say stale-if-error"

// exceptions are the tests of the suite that surrogate does not pass, each with
// the reason. One that it passes after all is taken out again.
var exceptions = map[string]string{
	"stale-close-must-revalidate":  cut,
	"stale-close-proxy-revalidate": cut,
	"stale-close-no-cache":         cut,
	"stale-close-s-maxage=2":       cut,
	"headers-store-Transfer-Encoding": "its origin uses a transfer coding that does not exist; what is in a coding that one cannot undo must not be passed on " +
		"as if it were in none, so surrogate answers 502, as Squid, Varnish and Fastly do",
	"conditional-lm-fresh-no-lm": "it wants 304 for a copy older than the Date of a stored response without Last-Modified, which would tell a client that " +
		"what it has is still good when nobody knows; RFC 9111, section 4.3.2, lets only a Date as early as the copy's say so",
}
