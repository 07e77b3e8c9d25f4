-- One metric's history, in order: batches of 1,000 points. Argument: the run.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local run, step = "", 0

function init(args) run = args[1] end

function request()
  local points = {}
  for i = 1, 1000 do
    step = step + 1
    points[i] = string.format('{"key":"loss","value":%.17g,"timestamp":%d,"step":%d}', math.sin(step * 0.001) + math.random(), 1700000000000 + step * 23, step)
  end
  return wrk.format(nil, nil, nil, '{"run_id":"' .. run .. '","metrics":[' .. table.concat(points, ",") .. "]}")
end
