"""Who is let in, for how long, and at what price, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from api.auth.login_throttle import Attempts
from api.auth.token_authenticator import RENEW, TRUST, Gatekeeper
from api.serving.executor import Threads
from models.access.rbac import Binding
from models.api_errors import BadRequestError, TooManyRequestsError, UnauthorizedError
from models.errors import ForbiddenError, StoreError
from models.store.access.token_store import bind, create_token, revoke_token, unbind
from models.store.database.session import open_engine, transaction, upgrade

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IMAGE, PEER = "image.openshift.io", "10.0.0.1"


class Door:
    """A gatekeeper with hands on its clock, and a count of its looks into the database."""

    def __init__(self, engine, **how):
        self.engine, self.seconds, self.looks = engine, 1000.0, 0
        self.threads = Threads(4)
        self.keeper = Gatekeeper(
            engine,
            self.threads,
            clock=lambda: self.seconds,
            wall=lambda: NOW + timedelta(seconds=self.seconds - 1000),
            **how,
        )
        event.listen(engine, "begin", self._count)

    def _count(self, _connection):
        self.looks += 1

    def do(self, function, *args, **kwargs):
        with transaction(self.engine) as session:
            result = function(session, *args, **kwargs)
        self.looks = 0
        return result

    def make(self, name="ci", *roles, expires=None):
        clear = self.do(create_token, name=name, user=name, expires=expires, now=NOW)
        for role in roles:
            self.give(name, *role.split("@"))
        return clear

    def give(self, name, role, namespace="*", kind="User"):
        self.do(bind, kind, name, role, namespace, now=NOW)

    async def come(self, clear, peer=PEER, **headers):
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.keeper.admit({"authorization": f"Bearer {clear}", **named}, peer)

    async def settle(self):
        """Let looks behind the callers' backs end."""
        while self.keeper._asking:
            await asyncio.sleep(0.001)


@pytest.fixture
def door(database_url):
    engine = open_engine(database_url)
    upgrade(engine)
    door = Door(engine)
    yield door
    door.threads.close()
    engine.dispose()


async def test_a_token_is_let_in_with_its_roles(door):
    caller = await door.come(door.make("ci", "edit@ns1"))
    assert caller.user == "ci"
    assert caller.groups == ("system:authenticated",)
    assert list(map(str, caller.bindings)) == ["edit in ns1", "self-provisioner everywhere"]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic Y2k6eA==", "tgs_x", "Bearer  ", "Bearer tgs_", "a b c"],
)
@pytest.mark.case("api 7")
async def test_without_a_token_nobody_is_let_in(door, header):
    door.make()
    with pytest.raises(UnauthorizedError) as caught:
        await door.keeper.admit({"authorization": header} if header else {}, PEER)
    assert caught.value.message == "Unauthorized"


async def test_ten_thousand_requests_cost_one_look(door):
    clear = door.make()
    for _ in range(10_000):
        await door.come(clear)
    assert door.looks == 1


async def test_a_crowd_at_a_cold_door_costs_one_look(door):
    clear = door.make()
    await asyncio.gather(*(door.come(clear) for _ in range(100)))
    assert door.looks == 1


async def test_one_who_leaves_while_waiting_does_not_send_the_others_away(door):
    clear = door.make()
    first = asyncio.create_task(door.come(clear))
    second = asyncio.create_task(door.come(clear))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).user == "ci"


async def test_a_known_caller_is_renewed_without_waiting(door):
    clear = door.make()
    before = await door.come(clear)
    door.give("ci", "edit")
    door.seconds += RENEW
    assert await door.come(clear) is before
    await door.settle()
    assert (await door.come(clear)).bindings[0].role == "edit"


@pytest.mark.parametrize("wait", [RENEW, TRUST, 1000])
async def test_a_revoked_token_is_refused_within_five_seconds(door, wait):
    clear = door.make()
    await door.come(clear)
    door.do(revoke_token, "ci")
    assert TRUST < 5
    door.seconds += wait
    if wait < TRUST:
        await door.come(clear)
        await door.settle()
    with pytest.raises(UnauthorizedError):
        await door.come(clear)


async def test_an_expired_token_is_refused_at_once(door):
    clear = door.make(expires=NOW + timedelta(seconds=1.5))
    door.seconds += 0.9
    await door.come(clear)
    door.seconds += 0.6
    with pytest.raises(UnauthorizedError):
        await door.come(clear)


async def test_too_many_failures_of_a_peer_are_stopped_at_the_door(door):
    good = door.make()
    await door.come(good)
    door.looks = 0
    for number in range(20):
        with pytest.raises(UnauthorizedError):
            await door.come(f"tgs_{number:043}")
    assert door.looks == 20
    fresh = door.make("fresh")
    with pytest.raises(TooManyRequestsError) as caught:
        await door.come(fresh)
    assert caught.value.retry_after == 1
    assert door.looks == 0
    assert (await door.come(good)).user == "ci"
    assert (await door.come(fresh, peer="10.0.0.2")).user == "fresh"
    door.seconds += 2
    assert (await door.come(fresh)).user == "fresh"


async def test_a_known_caller_behind_a_blocked_peer_stays_known_when_trust_ends(door):
    door.keeper._attempts = Attempts(burst=1, per_second=0)
    good = door.make()
    await door.come(good)
    with pytest.raises(UnauthorizedError):
        await door.come("nonsense")
    door.seconds += TRUST
    assert (await door.come(good)).user == "ci"


async def test_nonsense_is_refused_without_a_look(door):
    door.looks = 0
    for clear in ("x", "tgs_short", "tgs_" + "!" * 43, "tgs_" + "a" * 44):
        with pytest.raises(UnauthorizedError):
            await door.come(clear)
    assert door.looks == 0


async def test_a_right_given_by_another_process_counts_at_once(door):
    caller = await door.come(door.make())
    wish = {"verb": "get", "group": IMAGE, "resource": "imagestreams", "namespace": "ns1"}
    with pytest.raises(ForbiddenError):
        await door.keeper.authorise(caller, **wish)
    door.give("ci", "view", "ns1")
    renewed = await door.keeper.authorise(caller, **wish)
    assert Binding("view", "ns1", subject="ci") in renewed.bindings
    assert await door.keeper.authorise(renewed, **wish) is renewed


async def test_a_list_of_projects_is_made_of_the_rights_of_this_moment(door):
    caller = await door.come(door.make("ci", "view@ns1"))
    door.give("ci", "edit", "ns2")
    listing = {"verb": "list", "group": "project.openshift.io", "resource": "projects"}
    renewed = await door.keeper.authorise(caller, **listing)
    assert [each.namespace for each in renewed.bindings] == ["ns1", "ns2", "*"]


async def test_a_watch_notices_that_its_caller_lost_the_token_or_the_role(door):
    clear = door.make("ci", "view@ns1")
    caller = await door.come(clear)
    assert await door.keeper.renew(caller) == caller
    door.do(unbind, "User", "ci", "view", "ns1")
    assert len((await door.keeper.renew(caller)).bindings) == 1
    door.do(revoke_token, "ci")
    with pytest.raises(UnauthorizedError):
        await door.keeper.renew(caller)
    with pytest.raises(UnauthorizedError):
        await door.come(clear)


async def test_who_is_forgotten_is_looked_up_again(door):
    clear = door.make()
    caller = await door.come(clear)
    door.give("ci", "admin", "new")
    door.keeper.forget(caller)
    assert (await door.come(clear)).bindings[0].namespace == "new"


async def test_a_cluster_admin_may_be_somebody_else(door):
    clear = door.make("root", "admin")
    door.give("ann", "view", "ns1")
    door.give("team", "edit", "ns2", kind="Group")
    ann = await door.come(clear, impersonate_user="ann", impersonate_group="team,others")
    assert (ann.user, ann.impersonator, ann.is_cluster_admin) == ("ann", "root", False)
    assert ann.groups == ("team", "others", "system:authenticated")
    assert list(map(str, ann.bindings))[:2] == ["view in ns1", "edit in ns2"]
    anonymous = await door.come(clear, impersonate_user="system:anonymous")
    assert (anonymous.groups, anonymous.bindings) == ((), ())


async def test_an_impersonated_caller_lasts_as_long_as_the_right_to_it(door):
    ann = await door.come(door.make("root", "admin"), impersonate_user="ann")
    door.give("ann", "view", "ns1")
    assert (await door.keeper.renew(ann)).bindings[0].role == "view"
    door.do(unbind, "User", "root", "admin", "*")
    with pytest.raises(ForbiddenError):
        await door.keeper.renew(ann)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"impersonate_user": "ann"}, 'users "ann" is forbidden: User "ci" cannot impersonate'),
        ({"impersonate_group": "system:masters"}, 'groups "system:masters" is forbidden'),
        ({"impersonate_uid": "1"}, "uids.authentication.k8s.io"),
        ({"impersonate_extra_scopes": "x"}, "userextras.authentication.k8s.io is forbidden"),
    ],
)
async def test_nobody_else_may(door, headers, said):
    with pytest.raises(ForbiddenError, match=said):
        await door.come(door.make("ci", "admin@ns1"), **headers)


async def test_groups_without_a_user_are_nobody(door):
    with pytest.raises(BadRequestError):
        await door.come(door.make("root", "admin"), impersonate_group="team")


async def test_self_provisioning_can_be_turned_off(door):
    closed = Gatekeeper(door.engine, door.threads, self_provisioning=False)
    caller = await closed.admit({"authorization": f"Bearer {door.make()}"}, PEER)
    assert caller.bindings == ()


async def test_with_the_database_away_nobody_is_let_in_or_called_a_stranger(door, database_url):
    clear = door.make()
    door.engine.dispose()
    with transaction(door.engine) as session:
        session.connection().exec_driver_sql("DROP TABLE tokens")
    with pytest.raises(StoreError):
        await door.come(clear)
    assert door.keeper._asking == {}
