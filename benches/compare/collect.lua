-- For wrk: begins this many sessions and writes their cookies to a file. If a file of cookies is
-- named too, sends each of these once instead, and writes the cookies of the responses.

local out, wanted, got, sent = nil, 0, 0, 0
local requests, begins = {}, nil

local function view(cookie)
   return wrk.format("GET", "/foo", { ["Host"] = "127.0.0.1", ["Cookie"] = cookie })
end

function init(arguments)
   out = io.open(arguments[1], "w")
   if arguments[3] then
      for line in io.lines(arguments[3]) do requests[#requests + 1] = view(line) end
   else
      begins = view(nil)
   end
   wanted = tonumber(arguments[2])
end

function request()
   sent = sent + 1
   -- After all cookies are sent, connections request a path that begins and renews no session.
   return begins or requests[sent] or wrk.format("GET", "/health/live")
end

local function finish()
   out:close()
   os.exit(0)
end

function response(_, headers)
   local cookie = headers["set-cookie"] or headers["Set-Cookie"]
   if cookie and got < wanted then
      got = got + 1
      out:write(cookie:match("^[^;]*"), "\n")
   end
   -- wrk uses the first request as a test, and some answers set no cookie. After this many more
   -- answers, no request is in progress any more.
   if got == wanted or (not begins and sent > #requests + 500) then finish() end
end
