vcl 4.1;
{{if .Xkey}}
import xkey;
{{end}}
backend origin {
	.host = "{{.OriginHost}}";
	.port = "{{.OriginPort}}";
}

sub vcl_recv {
{{- if .Xkey}}
	if (req.method == "PURGE") {
		set req.http.n = xkey.purge(req.http.Surrogate-Key);
		return (synth(200, "Purged"));
	}
{{- end}}
	# The built-in VCL goes on from here: a request with a Cookie is passed.
}

sub vcl_deliver {
	unset resp.http.xkey;
}
