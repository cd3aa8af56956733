-- What wrk measured, as one line of JSON. UPLOAD_BYTES makes requests carry a body.

local uploadBytes = tonumber(os.getenv('UPLOAD_BYTES') or '0')
if uploadBytes > 0 then
  wrk.method = 'POST'
  wrk.body = string.rep('x', uploadBytes)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"durationUs":%d,"failedAnswers":%d,"socketErrors":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
