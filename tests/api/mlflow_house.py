"""A server that asks who one is, and MLflow's stock clients that speak for its users. Tests import the fixtures by name."""
import uuid

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlflow_auth_client import stock_client
from people import PASSWORD, add_user

AuthServiceClient = stock_client()


@pytest.fixture(scope="module")
def house(start_module_server, tmp_path_factory):
    home = tmp_path_factory.mktemp("house")
    add_user(home, "ann")
    return start_module_server("--require-login", "1", home=home)


@pytest.fixture
def be(house, monkeypatch):
    """Makes the stock clients speak for somebody."""
    def become(name):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        mlflow.set_tracking_uri(house.url)
        return MlflowClient(house.url), AuthServiceClient(house.url)
    return become


@pytest.fixture
def somebody(be):
    """A new user of MLflow's kind."""
    def make(prefix="u"):
        name = f"{prefix}{uuid.uuid4().hex[:8]}"
        be("ann")[1].create_user(name, PASSWORD)
        return name
    return make


def refused(call, *args, code="PERMISSION_DENIED", **kwargs):
    with pytest.raises(MlflowException) as error:
        call(*args, **kwargs)
    assert error.value.error_code == code, error.value
    return error.value


def unique(what):
    return f"{what}-{uuid.uuid4().hex[:8]}"
