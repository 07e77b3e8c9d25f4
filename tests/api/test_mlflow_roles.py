"""The roles of MLflow's AuthServiceClient: sets of grants for many users, which hold on every route within a second."""
import time

import pytest

from mlflow_house import be, house, refused, somebody, unique  # noqa: F401
from people import PASSWORD, user


def test_a_roles_life(be, somebody):
    bob = somebody("bob")
    _, auth = be("ann")
    role = auth.create_role("default", name := unique("readers"), "who may read")
    assert (role.name, role.workspace, role.description, role.permissions) == (name, "default", "who may read", [])
    assert auth.get_role(role.id).to_json() == role.to_json()
    refused(auth.create_role, "default", name, code="RESOURCE_ALREADY_EXISTS")
    granted = auth.add_role_permission(role.id, "experiment", "*", "READ")
    assert (granted.role_id, granted.resource_type, granted.resource_pattern, granted.permission) == (role.id, "experiment", "*", "READ")
    refused(auth.add_role_permission, role.id, "experiment", "*", "EDIT", code="RESOURCE_ALREADY_EXISTS")
    assert auth.update_role_permission(granted.id, "EDIT").permission == "EDIT"
    assert [p.to_json() for p in auth.list_role_permissions(role.id)] == [{**granted.to_json(), "permission": "EDIT"}]
    given = auth.assign_role(bob, role.id)
    assert (given.user_id, given.role_id) == (auth.get_user(bob).id, role.id)
    refused(auth.assign_role, bob, role.id, code="RESOURCE_ALREADY_EXISTS")
    assert [a.to_json() for a in auth.list_role_users(role.id)] == [given.to_json()]
    assert [r.name for r in auth.list_user_roles(bob)] == [name]
    assert role.id in {r.id for r in auth.list_roles("default")} and role.id in {r.id for r in auth.list_all_roles()}
    assert auth.update_role(role.id, description="changed").description == "changed"
    assert auth.update_role(role.id, name=name + "2").name == name + "2"
    refused(auth.update_role, role.id, code="INVALID_PARAMETER_VALUE")
    auth.unassign_role(bob, role.id)
    refused(auth.unassign_role, bob, role.id, code="RESOURCE_DOES_NOT_EXIST")
    auth.remove_role_permission(granted.id)
    refused(auth.remove_role_permission, granted.id, code="RESOURCE_DOES_NOT_EXIST")
    auth.delete_role(role.id)
    refused(auth.get_role, role.id, code="RESOURCE_DOES_NOT_EXIST")
    again = auth.create_role("default", name)
    assert again.id > role.id  # an id is never another role's
    auth.delete_role(again.id)


@pytest.mark.parametrize("kind, pattern, permission", [
    ("experiment", "*", "NO_PERMISSIONS"), ("experiment", "*", "OWN"), ("workspace", "*", "READ"), ("workspace", "default", "USE"),
    ("gateway_endpoint", "*", "READ"), ("trace", "*", "DENY"), ("prompt", "*", "READ"), ("experiment", "", "READ")])
def test_grants_that_there_are_not(be, kind, pattern, permission):
    """What is not enforced here is refused, not kept as if it were."""
    _, auth = be("ann")
    role = auth.create_role("default", unique("r"))
    refused(auth.add_role_permission, role.id, kind, pattern, permission, code="INVALID_PARAMETER_VALUE")
    refused(auth.create_role, "default", " ", code="INVALID_PARAMETER_VALUE")
    refused(auth.create_role, "default", "__user_7__", code="INVALID_PARAMETER_VALUE")
    refused(auth.create_role, "nowhere", "r", code="RESOURCE_DOES_NOT_EXIST")
    assert auth.get_role(role.id).permissions == []


def test_what_roles_allow(be, somebody, house):
    bob = somebody("bob")
    client, auth = be("ann")
    open_, closed = client.create_experiment(unique("open")), client.create_experiment(unique("closed"))
    client.create_registered_model(model := unique("m"))
    editors = auth.create_role("default", unique("editors"))
    auth.add_role_permission(editors.id, "experiment", "*", "EDIT")
    auth.add_role_permission(editors.id, "registered_model", model, "MANAGE")
    barred = auth.create_role("default", unique("barred"))
    auth.add_role_permission(barred.id, "experiment", closed, "DENY")
    refused(be(bob)[0].create_run, open_)
    _, auth = be("ann")
    auth.assign_role(bob, editors.id)
    auth.assign_role(bob, barred.id)
    bobs, own = be(bob)
    run = bobs.create_run(open_).info.run_id
    bobs.set_registered_model_tag(model, "a", "b")
    refused(bobs.delete_run, run)  # EDIT does not delete
    time.sleep(1)
    refused(bobs.get_experiment, closed)
    assert own.get_user_permission(bob, "experiment", open_).permission == "EDIT"
    assert own.get_user_permission(bob, "registered_model", model).permission == "MANAGE"
    assert {r.id for r in own.list_user_roles(bob)} == {editors.id, barred.id}
    # A model's grant follows its new name.
    bobs.rename_registered_model(model, renamed := unique("renamed"))
    time.sleep(1)
    bobs.set_registered_model_tag(renamed, "c", "d")
    # His own row and the roles' add up, and a denial wins.
    _, auth = be("ann")
    auth.grant_user_permission(bob, "experiment", closed, "MANAGE")
    time.sleep(1)
    bobs, _ = be(bob)
    refused(bobs.get_experiment, closed)
    _, auth = be("ann")
    auth.unassign_role(bob, barred.id)
    auth.delete_role(editors.id)
    time.sleep(1)
    bobs, _ = be(bob)
    bobs.delete_experiment(closed)
    refused(bobs.set_registered_model_tag, renamed, "e", "f")


def test_a_role_of_the_workspace(be, somebody, house):
    """USE makes a contributor, MANAGE an administrator of the project, who gives roles himself and nowhere else."""
    chief, bob = somebody("chief"), somebody("bob")
    ann = user(house, "ann")
    for name in (chief, bob):
        assert ann.api("PATCH", f"/users/{name}", json={"roles": {"default": []}}).ok
    time.sleep(1)
    refused(be(bob)[0].search_experiments, code="RESOURCE_DOES_NOT_EXIST")
    _, auth = be("ann")
    ruling = auth.create_role("default", unique("ruling"))
    auth.add_role_permission(ruling.id, "workspace", "*", "MANAGE")
    auth.assign_role(chief, ruling.id)
    time.sleep(1)
    client, auth = be(chief)
    client.create_experiment(unique("e"))
    members = auth.create_role("default", unique("members"))
    auth.add_role_permission(members.id, "workspace", "*", "USE")
    auth.assign_role(bob, members.id)
    assert bob in {u["username"] for u in user(house, chief)("GET", "/api/2.0/mlflow/users/list").json()["users"]}
    assert ann("POST", "/api/3.0/mlflow/workspaces", json={"name": "elsewhere"}).status_code in (201, 400)
    refused(auth.create_role, "elsewhere", "r")
    refused(auth.list_all_roles)
    refused(auth.delete_user, bob)
    time.sleep(1)
    bobs, own = be(bob)
    mine = bobs.create_experiment(unique("mine"))
    bobs.delete_experiment(mine)
    assert members.id in {r.id for r in own.list_roles("default")}
    for call, args in ((own.create_role, ("default", "r")), (own.add_role_permission, (members.id, "workspace", "*", "MANAGE")),
                       (own.assign_role, (bob, ruling.id)), (own.delete_role, (members.id,)), (own.update_role, (members.id, "x")),
                       (own.list_user_roles, (chief,)), (own.get_role, (999999,))):
        refused(call, *args)


def test_a_deleted_user_leaves_no_role(be, somebody):
    bob = somebody("bob")
    _, auth = be("ann")
    role = auth.create_role("default", unique("r"))
    auth.add_role_permission(role.id, "experiment", "*", "MANAGE")
    auth.assign_role(bob, role.id)
    auth.delete_user(bob)
    assert auth.list_role_users(role.id) == []
    auth.create_user(bob, PASSWORD)
    assert auth.list_user_roles(bob) == []


def test_permissions_are_listed_with_their_role(be, somebody, house):
    bob = somebody("bob")
    client, auth = be("ann")
    experiment = client.create_experiment(unique("e"))
    role = auth.create_role("default", unique("r"))
    auth.add_role_permission(role.id, "experiment", experiment, "READ")
    auth.assign_role(bob, role.id)
    auth.grant_user_permission(bob, "experiment", experiment, "EDIT")
    bobs = user(house, bob)
    rows = bobs("GET", "/api/3.0/mlflow/users/current/permissions").json()["permissions"]
    found = {(r["role_name"], r["permission"]) for r in rows if r["resource_pattern"] == experiment}
    assert (role.name, "READ") in found and any(name.startswith("__user_") and p == "EDIT" for name, p in found)
