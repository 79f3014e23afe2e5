-- For wrk: the requests come as a file, parted by zero bytes, and are sent in turn; the results leave as one line of
-- JSON. Times in microseconds.
local requests, count, at = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local from, text = 1, file:read("*a") .. "\0"
  file:close()
  for to in text:gmatch("()%z") do
    count = count + 1
    requests[count] = text:sub(from, to - 1)
    from = to + 1
  end
end

function request()
  at = at % count + 1
  return requests[at]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration":%d,"bytes":%d,"p50":%d,"p99":%d,"most":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
