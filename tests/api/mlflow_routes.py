"""Prints every route that the installed MLflow server registers, as lines "METHOD PATH": the tracking app, its auth app,
and what FastAPI serves around them. Runs in .venv-mlflow."""
import os
import pathlib
import sys
import tempfile
import types

with tempfile.TemporaryDirectory() as home:
    class Csrf:  # of Flask-WTF, which only a form needs
        def __init__(self, *_):
            pass

        def init_app(self, *_):
            pass

        def exempt(self, view):
            return view

    wtf = types.ModuleType("flask_wtf")
    wtf.csrf = types.ModuleType("flask_wtf.csrf")
    wtf.csrf.CSRFProtect = wtf.CSRFProtect = Csrf
    sys.modules.update({"flask_wtf": wtf, "flask_wtf.csrf": wtf.csrf})

    import mlflow
    shipped = pathlib.Path(mlflow.__file__).parent / "server" / "auth" / "basic_auth.ini"
    config = pathlib.Path(home) / "basic_auth.ini"
    config.write_text(shipped.read_text().replace("sqlite:///basic_auth.db", f"sqlite:///{home}/auth.db"))
    os.environ.update({"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "k",
                       "MLFLOW_AUTH_ADMIN_PASSWORD": "adminpassword1",
                       "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home}/mlflow.db", "_MLFLOW_SERVER_ARTIFACT_ROOT": home,
                       "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true", "MLFLOW_DISABLE_TELEMETRY": "true"})
    from mlflow.server import app, handlers
    from mlflow.server.auth import create_app
    from mlflow.server.fastapi_app import create_fastapi_app

    found = {(method, path) for path, _, methods in handlers.get_endpoints() for method in methods}
    create_app(app)
    found |= {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods}

    def walk(routes, prefix=""):
        for route in routes:
            if getattr(route, "methods", None):
                found.update((method, prefix + route.path) for method in route.methods)
            elif hasattr(route, "original_router"):
                walk(route.original_router.routes, prefix + route.include_context.prefix)

    walk(create_fastapi_app().routes)
    for method, path in sorted(found, key=lambda each: each[::-1]):
        if method not in ("HEAD", "OPTIONS"):
            print(method, path)
