-- For wrk: views the three pages in turn, with the next session's cookie each time. The cookies
-- are in the file that is named on the command line, one `Cookie` header per line.

local requests, turn = {}, 0

function init(arguments)
   local cookies, accept = {}, arguments[2] or "text/html"
   for line in io.lines(arguments[1]) do cookies[#cookies + 1] = line end
   for _, path in ipairs({ "/", "/foo", "/bar" }) do
      for _, cookie in ipairs(cookies) do
         local headers = { ["Host"] = "127.0.0.1", ["Accept"] = accept, ["Cookie"] = cookie }
         requests[#requests + 1] = wrk.format("GET", path, headers)
      end
   end
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '\nRESULT {"views": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
      summary.requests - errors.status, summary.duration / 1e6, latency:percentile(50) / 1e3,
      latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
