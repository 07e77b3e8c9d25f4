-- One row to each of N models in turn, iris_0 and so on; N is the argument.
local asks, at = {}, 0
function init(args)
  local body = '{"inputs":[{"name":"X","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}'
  for i = 0, args[1] - 1 do
    asks[#asks + 1] = wrk.format("POST", "/v2/models/iris_" .. i .. "/infer", {["Content-Type"] = "application/json"}, body)
  end
end
function request()
  at = at % #asks + 1
  return asks[at]
end
