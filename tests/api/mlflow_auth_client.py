"""The stock AuthServiceClient. Its package brings MLflow's whole server (Flask and more), which mlflow-skinny has not;
so the packages around it are opened as plain folders, and of the server's handlers only the three functions that put
paths together are given."""
import importlib
import pathlib
import sys
import types

import mlflow


def stock_client():
    if "mlflow.server.auth.client" not in sys.modules:
        root = pathlib.Path(mlflow.__file__).parent / "server"
        for name, folder in (("mlflow.server", root), ("mlflow.server.auth", root / "auth")):
            package = types.ModuleType(name)
            package.__path__ = [str(folder)]
            sys.modules[name] = package
        handlers = types.ModuleType("mlflow.server.handlers")
        handlers._add_static_prefix = lambda route: route
        handlers._get_rest_path = lambda path, version=2: f"/api/{version}.0{path}"
        handlers._get_ajax_path = lambda path, version=2: f"/ajax-api/{version}.0{path}"
        sys.modules["mlflow.server.handlers"] = handlers
    return importlib.import_module("mlflow.server.auth.client").AuthServiceClient
