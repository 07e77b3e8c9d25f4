-- A binary tensor of the Open Inference Protocol: the JSON and the number of FP32 values that follow it.
wrk.method = "POST"
function init(args)
  wrk.headers["Content-Type"] = "application/octet-stream"
  wrk.headers["Inference-Header-Content-Length"] = tostring(#args[1])
  wrk.body = args[1] .. string.rep("\0\0\128\63", args[2])
end
