-- What the stock client sends to start a run.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"experiment_id":"0","user_id":"bench","run_name":"r","start_time":1700000000000,' ..
  '"tags":[{"key":"mlflow.user","value":"bench"},{"key":"mlflow.source.name","value":"bench.py"},' ..
  '{"key":"mlflow.source.type","value":"LOCAL"},{"key":"mlflow.runName","value":"r"}]}'
