-- The call that is made again and again, with one key or with each of a file in turn; then a line of JSON, times in µs.
wrk.method = "POST"
wrk.body = '{"country":"DE","postal_code":"10115","locality":"Berlin","lines":["Invalidenstr. 116"]}'
wrk.headers["Content-Type"] = "application/json"

local file = os.getenv("BENCH_KEYS")
if file then
  local keys, made = {}, 0
  for key in io.lines(file) do keys[#keys + 1] = key end
  function request()
    made = made % #keys + 1
    wrk.headers["Authorization"] = "Bearer " .. keys[made]
    return wrk.format()
  end
else
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"calls":%d,"duration_us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
