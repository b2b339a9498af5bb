"""The token authenticator: caching, throttling, impersonation, on both databases (api-16.1)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from api.auth.login_throttle import LoginThrottle
from api.auth.token_authenticator import (
    CALLER_CACHE_TTL_SECONDS,
    CALLER_REFRESH_SECONDS,
    TokenAuthenticator,
)
from api.serving.executor import ThreadExecutor
from models.access.rbac import RoleBinding
from models.api_errors import BadRequestError, TooManyRequestsError, UnauthorizedError
from models.errors import ForbiddenError, StoreError
from models.store.access.token_store import bind_role, create_token, revoke_token, unbind_role
from models.store.database.session import open_engine, transaction, upgrade_database

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IMAGE, PEER = "image.openshift.io", "10.0.0.1"


class AuthenticatorHarness:
    """An authenticator with a manual clock, and a count of its lookups in the database."""

    def __init__(self, engine, **options):
        self.engine, self.seconds, self.lookups = engine, 1000.0, 0
        self.threads = ThreadExecutor(4)
        self.authenticator = TokenAuthenticator(
            engine,
            self.threads,
            clock=lambda: self.seconds,
            wall_clock=lambda: NOW + timedelta(seconds=self.seconds - 1000),
            **options,
        )
        event.listen(engine, "begin", self._count)

    def _count(self, _connection):
        self.lookups += 1

    def write(self, function, *args, **kwargs):
        with transaction(self.engine) as session:
            result = function(session, *args, **kwargs)
        self.lookups = 0
        return result

    def make_token(self, name="ci", *roles, expires=None):
        token = self.write(create_token, name=name, user=name, expires=expires, now=NOW)
        for role in roles:
            self.bind(name, *role.split("@"))
        return token

    def bind(self, name, role, namespace="*", kind="User"):
        self.write(bind_role, kind, name, role, namespace, now=NOW)

    async def authenticate(self, token, peer=PEER, **headers):
        impersonation = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.authenticator.authenticate(
            {"authorization": f"Bearer {token}", **impersonation}, peer
        )

    async def wait_for_lookups(self):
        """Wait until background lookups end."""
        while self.authenticator._lookups:
            await asyncio.sleep(0.001)


@pytest.fixture
def harness(database_url):
    engine = open_engine(database_url)
    upgrade_database(engine)
    harness = AuthenticatorHarness(engine)
    yield harness
    harness.threads.close()
    engine.dispose()


async def test_token_is_authenticated_with_its_roles(harness):
    caller = await harness.authenticate(harness.make_token("ci", "edit@ns1"))
    assert caller.user == "ci"
    assert caller.groups == ("system:authenticated",)
    assert list(map(str, caller.bindings)) == ["edit in ns1", "self-provisioner everywhere"]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic Y2k6eA==", "tgs_x", "Bearer  ", "Bearer tgs_", "a b c"],
)
@pytest.mark.case("api 7")
async def test_request_without_valid_token_is_unauthorized(harness, header):
    harness.make_token()
    with pytest.raises(UnauthorizedError) as caught:
        await harness.authenticator.authenticate({"authorization": header} if header else {}, PEER)
    assert caught.value.message == "Unauthorized"


async def test_ten_thousand_requests_need_one_lookup(harness):
    token = harness.make_token()
    for _ in range(10_000):
        await harness.authenticate(token)
    assert harness.lookups == 1


async def test_concurrent_requests_need_one_lookup(harness):
    token = harness.make_token()
    await asyncio.gather(*(harness.authenticate(token) for _ in range(100)))
    assert harness.lookups == 1


async def test_cancelled_request_does_not_cancel_shared_lookup(harness):
    token = harness.make_token()
    first = asyncio.create_task(harness.authenticate(token))
    second = asyncio.create_task(harness.authenticate(token))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).user == "ci"


async def test_cached_caller_is_refreshed_in_background(harness):
    token = harness.make_token()
    before = await harness.authenticate(token)
    harness.bind("ci", "edit")
    harness.seconds += CALLER_REFRESH_SECONDS
    assert await harness.authenticate(token) is before
    await harness.wait_for_lookups()
    assert (await harness.authenticate(token)).bindings[0].role == "edit"


@pytest.mark.parametrize("wait", [CALLER_REFRESH_SECONDS, CALLER_CACHE_TTL_SECONDS, 1000])
async def test_revoked_token_is_unauthorized_within_five_seconds(harness, wait):
    token = harness.make_token()
    await harness.authenticate(token)
    harness.write(revoke_token, "ci")
    assert CALLER_CACHE_TTL_SECONDS < 5
    harness.seconds += wait
    if wait < CALLER_CACHE_TTL_SECONDS:
        await harness.authenticate(token)
        await harness.wait_for_lookups()
    with pytest.raises(UnauthorizedError):
        await harness.authenticate(token)


async def test_expired_token_is_unauthorized_at_once(harness):
    token = harness.make_token(expires=NOW + timedelta(seconds=1.5))
    harness.seconds += 0.9
    await harness.authenticate(token)
    harness.seconds += 0.6
    with pytest.raises(UnauthorizedError):
        await harness.authenticate(token)


async def test_peer_with_too_many_failures_is_throttled_without_lookup(harness):
    valid = harness.make_token()
    await harness.authenticate(valid)
    harness.lookups = 0
    for number in range(20):
        with pytest.raises(UnauthorizedError):
            await harness.authenticate(f"tgs_{number:043}")
    assert harness.lookups == 20
    new_token = harness.make_token("fresh")
    with pytest.raises(TooManyRequestsError) as caught:
        await harness.authenticate(new_token)
    assert caught.value.retry_after == 1
    assert harness.lookups == 0
    assert (await harness.authenticate(valid)).user == "ci"
    assert (await harness.authenticate(new_token, peer="10.0.0.2")).user == "fresh"
    harness.seconds += 2
    assert (await harness.authenticate(new_token)).user == "fresh"


async def test_cached_caller_of_blocked_peer_is_reloaded_after_ttl(harness):
    harness.authenticator._login_throttle = LoginThrottle(burst=1, per_second=0)
    valid = harness.make_token()
    await harness.authenticate(valid)
    with pytest.raises(UnauthorizedError):
        await harness.authenticate("nonsense")
    harness.seconds += CALLER_CACHE_TTL_SECONDS
    assert (await harness.authenticate(valid)).user == "ci"


async def test_malformed_token_is_unauthorized_without_lookup(harness):
    harness.lookups = 0
    for token in ("x", "tgs_short", "tgs_" + "!" * 43, "tgs_" + "a" * 44):
        with pytest.raises(UnauthorizedError):
            await harness.authenticate(token)
    assert harness.lookups == 0


async def test_authorize_sees_role_bound_by_other_process(harness):
    caller = await harness.authenticate(harness.make_token())
    attributes = {"verb": "get", "group": IMAGE, "resource": "imagestreams", "namespace": "ns1"}
    with pytest.raises(ForbiddenError):
        await harness.authenticator.authorize(caller, **attributes)
    harness.bind("ci", "view", "ns1")
    renewed = await harness.authenticator.authorize(caller, **attributes)
    assert RoleBinding("view", "ns1", subject="ci") in renewed.bindings
    assert await harness.authenticator.authorize(renewed, **attributes) is renewed


async def test_authorize_of_project_list_reloads_bindings(harness):
    caller = await harness.authenticate(harness.make_token("ci", "view@ns1"))
    harness.bind("ci", "edit", "ns2")
    attributes = {"verb": "list", "group": "project.openshift.io", "resource": "projects"}
    renewed = await harness.authenticator.authorize(caller, **attributes)
    assert [each.namespace for each in renewed.bindings] == ["ns1", "ns2", "*"]


async def test_refresh_notices_revoked_token_or_role(harness):
    token = harness.make_token("ci", "view@ns1")
    caller = await harness.authenticate(token)
    assert await harness.authenticator.refresh(caller) == caller
    harness.write(unbind_role, "User", "ci", "view", "ns1")
    assert len((await harness.authenticator.refresh(caller)).bindings) == 1
    harness.write(revoke_token, "ci")
    with pytest.raises(UnauthorizedError):
        await harness.authenticator.refresh(caller)
    with pytest.raises(UnauthorizedError):
        await harness.authenticate(token)


async def test_invalidated_caller_is_reloaded(harness):
    token = harness.make_token()
    caller = await harness.authenticate(token)
    harness.bind("ci", "admin", "new")
    harness.authenticator.invalidate(caller)
    assert (await harness.authenticate(token)).bindings[0].namespace == "new"


async def test_cluster_admin_may_impersonate_user_and_groups(harness):
    token = harness.make_token("root", "admin")
    harness.bind("ann", "view", "ns1")
    harness.bind("team", "edit", "ns2", kind="Group")
    ann = await harness.authenticate(token, impersonate_user="ann", impersonate_group="team,others")
    assert (ann.user, ann.impersonator, ann.is_cluster_admin) == ("ann", "root", False)
    assert ann.groups == ("team", "others", "system:authenticated")
    assert list(map(str, ann.bindings))[:2] == ["view in ns1", "edit in ns2"]
    anonymous = await harness.authenticate(token, impersonate_user="system:anonymous")
    assert (anonymous.groups, anonymous.bindings) == ((), ())


async def test_impersonated_caller_is_forbidden_after_losing_permission(harness):
    ann = await harness.authenticate(harness.make_token("root", "admin"), impersonate_user="ann")
    harness.bind("ann", "view", "ns1")
    assert (await harness.authenticator.refresh(ann)).bindings[0].role == "view"
    harness.write(unbind_role, "User", "root", "admin", "*")
    with pytest.raises(ForbiddenError):
        await harness.authenticator.refresh(ann)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"impersonate_user": "ann"}, 'users "ann" is forbidden: User "ci" cannot impersonate'),
        ({"impersonate_group": "system:masters"}, 'groups "system:masters" is forbidden'),
        ({"impersonate_uid": "1"}, "uids.authentication.k8s.io"),
        ({"impersonate_extra_scopes": "x"}, "userextras.authentication.k8s.io is forbidden"),
    ],
)
async def test_impersonation_requires_cluster_admin(harness, headers, message):
    with pytest.raises(ForbiddenError, match=message):
        await harness.authenticate(harness.make_token("ci", "admin@ns1"), **headers)


async def test_impersonation_of_group_without_user_is_bad_request(harness):
    with pytest.raises(BadRequestError):
        await harness.authenticate(harness.make_token("root", "admin"), impersonate_group="team")


async def test_self_provisioning_can_be_disabled(harness):
    authenticator = TokenAuthenticator(harness.engine, harness.threads, self_provisioning=False)
    caller = await authenticator.authenticate(
        {"authorization": f"Bearer {harness.make_token()}"}, PEER
    )
    assert caller.bindings == ()


async def test_unavailable_database_is_store_error_not_unauthorized(harness, database_url):
    token = harness.make_token()
    harness.engine.dispose()
    with transaction(harness.engine) as session:
        session.connection().exec_driver_sql("DROP TABLE tokens")
    with pytest.raises(StoreError):
        await harness.authenticate(token)
    assert harness.authenticator._lookups == {}
