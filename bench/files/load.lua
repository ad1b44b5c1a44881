-- What wrk sends, as a browser would. Arguments:
--   KIND  cycle: PATH0 .. PATH(N-1) in turn; new: paths that were never asked for
--   PATH  the beginning of each path, which a number ends
--   N     how many, for cycle
--   then pairs of NAME and VALUE of further request fields
-- The last line that it prints is the result, as JSON; times are in microseconds.

local fields = {
	["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	["Accept-Language"] = "en-US,en;q=0.5",
	["Accept-Encoding"] = "gzip, deflate",
}
local requests, n, at = {}, 0, 0

function init(args)
	local kind, path = args[1], args[2]
	n = tonumber(args[3])
	for i = 4, #args, 2 do
		fields[args[i]] = args[i + 1]
	end
	if kind == "cycle" then
		for i = 1, n do
			requests[i] = wrk.format("GET", path .. (i - 1), fields)
		end
		request = function()
			at = at % n + 1
			return requests[at]
		end
	else
		local head, tail = wrk.format("GET", path .. "@", fields):match("^(.-)@(.*)$")
		request = function()
			at = at + 1
			return head .. at .. tail
		end
	end
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format('{"requests":%d,"bytes":%d,"micros":%d,"broken":%d,"refused":%d,"p50":%d,"p99":%d,"p999":%d}\n',
		summary.requests, summary.bytes, summary.duration, e.connect + e.read + e.write + e.timeout, e.status,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
