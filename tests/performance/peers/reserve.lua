-- A unit of one SKU for an order of its own, again and again; then a line of JSON, times in µs.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")

local run, made = os.getenv("BENCH_RUN"), 0

function request()
  made = made + 1
  local order = run .. "-" .. made
  wrk.headers["Idempotency-Key"] = order
  wrk.body = '{"reservation_id":"' .. order .. '","lines":[{"sku":"HOT","quantity":1}],"ttl_s":3600}'
  return wrk.format()
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
