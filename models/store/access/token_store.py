"""Tokens, of which only the digest is kept, and bindings: who holds which role where."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from models.access.builtin_roles import CLUSTER_ROLES, ROLES, STREAM_ROLES
from models.access.rbac import (
    AUTHENTICATED,
    EVERYWHERE,
    GROUP_KIND,
    USER_KIND,
    Binding,
    Caller,
    Token,
)
from models.errors import AlreadyExistsError, UsageError
from models.store.database.bulk_statements import insert_into
from models.store.tables.access import BindingRow, TokenRow

PREFIX = "tgs_"
_RANDOM_BYTES = 32  # 43 characters; nobody guesses 256 bits


def digest_token(clear: str) -> str:
    """What a token is remembered by: its SHA-256, in hexadecimal."""
    return hashlib.sha256(clear.encode("utf-8", "surrogatepass")).hexdigest()


def create_token(
    session: Session,
    *,
    name: str,
    user: str,
    now: datetime,
    groups: Sequence[str] = (),
    expires: datetime | None = None,
) -> str:
    """Make a token for a user; what it says is returned once and kept nowhere.

    Raises AlreadyExistsError when there is one of that name, expired or not.
    """
    clear = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    statement = insert_into(session, TokenRow).values(
        name=name,
        uid=uuid4(),
        digest=digest_token(clear),
        user=user,
        groups=list(groups) or None,
        created=now,
        expires=expires,
    )
    added = statement.on_conflict_do_nothing().returning(TokenRow.id)
    if session.connection().execute(added).scalar_one_or_none() is None:
        raise AlreadyExistsError(resource="tokens", name=name, group="")
    return clear


def revoke_token(session: Session, name: str) -> bool:
    """Forget a token; False where there is none.

    With the last token of a user their roles go too: whoever gets that name later starts anew.
    """
    found = delete(TokenRow).where(TokenRow.name == name).returning(TokenRow.user)
    user: str | None = session.connection().execute(found).scalar_one_or_none()
    if user is None:
        return False
    if session.scalar(select(TokenRow.id).where(TokenRow.user == user).limit(1)) is None:
        unbind_subject(session, USER_KIND, user)
    return True


def list_tokens(session: Session) -> list[Token]:
    """Every token, expired ones too, in the order of names."""
    return [_build(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]


def find_token(session: Session, digest: str, now: datetime) -> Token | None:
    """The token with that digest; None where it is unknown, revoked or expired."""
    row = session.scalars(select(TokenRow).where(TokenRow.digest == digest)).one_or_none()
    if row is None or not hmac.compare_digest(row.digest, digest):
        return None
    if row.expires is not None and row.expires <= now:
        return None
    return _build(row)


def load_caller(
    session: Session, digest: str, now: datetime
) -> tuple[Caller, datetime | None] | None:
    """Whom a token speaks for with every role of theirs, and until when; None: for nobody."""
    token = find_token(session, digest, now)
    if token is None:
        return None
    groups = (AUTHENTICATED, *(each for each in token.groups if each != AUTHENTICATED))
    caller = Caller(
        user=token.user,
        groups=groups,
        bindings=bindings_of(session, token.user, groups),
        uid=token.uid,
        credential=digest,
    )
    return caller, token.expires


def bind(
    session: Session,
    subject_kind: str,
    subject: str,
    role: str,
    namespace: str,
    *,
    now: datetime,
    stream: str = "",
) -> bool:
    """Give a role to a user or a group; False where they have it. UsageError: it makes no sense."""
    check_binding(role, namespace, stream)
    statement = insert_into(session, BindingRow).values(
        subject_kind=subject_kind,
        subject=subject,
        role=role,
        namespace=namespace,
        stream=stream,
        created=now,
    )
    added = statement.on_conflict_do_nothing().returning(BindingRow.id)
    return session.connection().execute(added).scalar_one_or_none() is not None


def check_binding(role: str, namespace: str, stream: str = "") -> None:
    """UsageError where a role cannot be given for that place (`api.md` D.5)."""
    if role not in ROLES:
        raise UsageError(f"{role[:80]!r} is not a role; write one of {', '.join(ROLES)}")
    if not namespace:
        raise UsageError(f"the role {role} needs a namespace, or {EVERYWHERE} for all of them")
    if role in CLUSTER_ROLES and namespace != EVERYWHERE:
        raise UsageError(f"the role {role} counts everywhere; name no namespace with it")
    if stream and (role not in STREAM_ROLES or namespace == EVERYWHERE):
        raise UsageError(
            f"only {' and '.join(sorted(STREAM_ROLES))} can be limited to one stream, "
            "and only of a namespace"
        )


def unbind(
    session: Session,
    subject_kind: str,
    subject: str,
    role: str,
    namespace: str,
    *,
    stream: str = "",
) -> bool:
    """Take a role away; False where they did not have it."""
    gone = delete(BindingRow).where(
        BindingRow.subject_kind == subject_kind,
        BindingRow.subject == subject,
        BindingRow.role == role,
        BindingRow.namespace == namespace,
        BindingRow.stream == stream,
    )
    return session.connection().execute(gone).rowcount > 0


def unbind_subject(session: Session, subject_kind: str, subject: str) -> int:
    """Take every role away from a user or a group; how many there were."""
    gone = delete(BindingRow).where(
        BindingRow.subject_kind == subject_kind, BindingRow.subject == subject
    )
    return session.connection().execute(gone).rowcount


def unbind_namespace(session: Session, namespace: str) -> int:
    """Forget every role in a namespace, which is about to go: its next owner starts anew."""
    gone = delete(BindingRow).where(BindingRow.namespace == namespace)
    return session.connection().execute(gone).rowcount


def bindings_of(session: Session, user: str, groups: Iterable[str]) -> tuple[Binding, ...]:
    """What speaks for a user: their own roles and those of their groups."""
    own = and_(BindingRow.subject_kind == USER_KIND, BindingRow.subject == user)
    shared = and_(BindingRow.subject_kind == GROUP_KIND, BindingRow.subject.in_(list(groups)))
    wanted = select(BindingRow).where(or_(own, shared)).order_by(BindingRow.id)
    return tuple(_bound(row) for row in session.scalars(wanted))


def list_bindings(session: Session, namespace: str | None = None) -> list[Binding]:
    """Every binding, or those of one namespace, in the order in which they were given."""
    wanted = select(BindingRow).order_by(BindingRow.id)
    if namespace is not None:
        wanted = wanted.where(BindingRow.namespace == namespace)
    return [_bound(row) for row in session.scalars(wanted)]


def _build(row: TokenRow) -> Token:
    return Token(
        name=row.name,
        user=row.user,
        groups=tuple(row.groups or ()),
        uid=str(row.uid),
        created=row.created,
        expires=row.expires,
    )


def _bound(row: BindingRow) -> Binding:
    return Binding(row.role, row.namespace, row.stream, row.subject_kind, row.subject)
