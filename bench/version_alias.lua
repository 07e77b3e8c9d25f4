-- A new version of a model, then the alias on it, in turn, over one connection. Arguments: model, source, run id.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local version, create, alias = nil, "", ""

function init(args)
  create = string.format('{"name":"%s","source":"%s","run_id":"%s"}', args[1], args[2], args[3])
  alias = '{"name":"' .. args[1] .. '","alias":"champion","version":"%s"}'
end

function request()
  if not version then return wrk.format(nil, "/api/2.0/mlflow/model-versions/create", nil, create) end
  return wrk.format(nil, "/api/2.0/mlflow/registered-models/alias", nil, string.format(alias, version))
end

function response(status, headers, body) version = body:match('"version": ?"(%d+)"') end
