-- Batches of metrics, one point of each, a step further every time. Arguments: metrics in a batch, run ids.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local runs, step, template = {}, 0, ""

function init(args)
  local metrics = {}
  for i = 1, tonumber(args[1]) do
    metrics[i] = string.format('{"key":"metric-%d","value":0.%d25,"timestamp":1700000@@@@@@,"step":@@@@@@}', i, i)
  end
  template = '"metrics":[' .. table.concat(metrics, ",") .. "]}"
  for i = 2, #args do runs[i - 1] = args[i] end
end

function request()
  step = step + 1
  local body = template:gsub("@@@@@@", tostring(100000 + step))
  return wrk.format(nil, nil, nil, '{"run_id":"' .. runs[step % #runs + 1] .. '",' .. body)
end
