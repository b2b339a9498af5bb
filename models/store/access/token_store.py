"""Tokens, of which only the digest is stored, and role bindings."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from models.access.builtin_roles import CLUSTER_ROLES, GRANTABLE_ROLES, STREAM_ROLES
from models.access.rbac import (
    ALL_NAMESPACES,
    AUTHENTICATED,
    GROUP_KIND,
    USER_KIND,
    ApiToken,
    Caller,
    RoleBinding,
)
from models.errors import AlreadyExistsError, UsageError
from models.store.database.bulk_statements import insert_into
from models.store.tables.access import RoleBindingRow, TokenRow

TOKEN_PREFIX = "tgs_"  # noqa: S105 - not a password
_RANDOM_BYTES = 32  # 43 characters; 256 bits cannot be guessed


def digest_token(clear: str) -> str:
    """Return the digest by which a token is stored: its SHA-256, in hexadecimal."""
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
    """Create a token for a user; return its text, which is stored nowhere.

    Raise AlreadyExistsError when a token of that name exists, expired or not.
    """
    clear = TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    statement = insert_into(session, TokenRow).values(
        name=name,
        uid=uuid4(),
        digest=digest_token(clear),
        user=user,
        groups=list(groups) or None,
        created=now,
        expires=expires,
    )
    insert = statement.on_conflict_do_nothing().returning(TokenRow.id)
    if session.connection().execute(insert).scalar_one_or_none() is None:
        raise AlreadyExistsError(resource="tokens", name=name, group="")
    return clear


def revoke_token(session: Session, name: str) -> bool:
    """Delete a token; return False if there is none.

    With the last token of a user their role bindings are deleted too: a later user of that name
    starts without roles.
    """
    statement = delete(TokenRow).where(TokenRow.name == name).returning(TokenRow.user)
    user: str | None = session.connection().execute(statement).scalar_one_or_none()
    if user is None:
        return False
    if session.scalar(select(TokenRow.id).where(TokenRow.user == user).limit(1)) is None:
        unbind_subject(session, USER_KIND, user)
    return True


def list_tokens(session: Session) -> list[ApiToken]:
    """Return every token, expired ones too, in the order of names."""
    return [_build_token(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]


def load_token(session: Session, digest: str, now: datetime) -> ApiToken | None:
    """Return the token with that digest; None if it is unknown, revoked or expired."""
    row = session.scalars(select(TokenRow).where(TokenRow.digest == digest)).one_or_none()
    if row is None or not hmac.compare_digest(row.digest, digest):
        return None
    if row.expires is not None and row.expires <= now:
        return None
    return _build_token(row)


def load_caller(
    session: Session, digest: str, now: datetime
) -> tuple[Caller, datetime | None] | None:
    """Return the caller that a token authenticates, with all role bindings, and the token's expiry.

    Return None if the token is unknown, revoked or expired.
    """
    token = load_token(session, digest, now)
    if token is None:
        return None
    groups = (AUTHENTICATED, *(each for each in token.groups if each != AUTHENTICATED))
    caller = Caller(
        user=token.user,
        groups=groups,
        bindings=load_bindings(session, token.user, groups),
        uid=token.uid,
        credential=digest,
    )
    return caller, token.expires


def bind_role(
    session: Session,
    subject_kind: str,
    subject: str,
    role: str,
    namespace: str,
    *,
    now: datetime,
    stream: str = "",
) -> bool:
    """Bind a role to a user or a group; return False if they have it already.

    Raise UsageError as `check_binding` does.
    """
    check_binding(role, namespace, stream)
    statement = insert_into(session, RoleBindingRow).values(
        subject_kind=subject_kind,
        subject=subject,
        role=role,
        namespace=namespace,
        stream=stream,
        created=now,
    )
    insert = statement.on_conflict_do_nothing().returning(RoleBindingRow.id)
    return session.connection().execute(insert).scalar_one_or_none() is not None


def check_binding(role: str, namespace: str, stream: str = "") -> None:
    """Raise UsageError if a role cannot be bound to that namespace or stream (api-16.9)."""
    if role not in GRANTABLE_ROLES:
        raise UsageError(f"{role[:80]!r} is not a role; write one of {', '.join(GRANTABLE_ROLES)}")
    if not namespace:
        raise UsageError(f"the role {role} needs a namespace, or {ALL_NAMESPACES} for all of them")
    if role in CLUSTER_ROLES and namespace != ALL_NAMESPACES:
        raise UsageError(f"the role {role} applies to all namespaces; name none with it")
    if stream and (role not in STREAM_ROLES or namespace == ALL_NAMESPACES):
        raise UsageError(
            f"only {' and '.join(sorted(STREAM_ROLES))} can be limited to one stream, "
            "and only of a namespace"
        )


def unbind_role(
    session: Session,
    subject_kind: str,
    subject: str,
    role: str,
    namespace: str,
    *,
    stream: str = "",
) -> bool:
    """Remove a role binding; return False if there was none."""
    statement = delete(RoleBindingRow).where(
        RoleBindingRow.subject_kind == subject_kind,
        RoleBindingRow.subject == subject,
        RoleBindingRow.role == role,
        RoleBindingRow.namespace == namespace,
        RoleBindingRow.stream == stream,
    )
    return session.connection().execute(statement).rowcount > 0


def unbind_subject(session: Session, subject_kind: str, subject: str) -> int:
    """Remove every role binding of a user or a group; return how many there were."""
    statement = delete(RoleBindingRow).where(
        RoleBindingRow.subject_kind == subject_kind, RoleBindingRow.subject == subject
    )
    return session.connection().execute(statement).rowcount


def unbind_namespace(session: Session, namespace: str) -> int:
    """Remove every role binding in a namespace that is being deleted; return how many there were.

    The next owner of the name starts without roles.
    """
    statement = delete(RoleBindingRow).where(RoleBindingRow.namespace == namespace)
    return session.connection().execute(statement).rowcount


def load_bindings(session: Session, user: str, groups: Iterable[str]) -> tuple[RoleBinding, ...]:
    """Return the role bindings of a user and of their groups."""
    user_condition = and_(RoleBindingRow.subject_kind == USER_KIND, RoleBindingRow.subject == user)
    group_condition = and_(
        RoleBindingRow.subject_kind == GROUP_KIND, RoleBindingRow.subject.in_(list(groups))
    )
    query = (
        select(RoleBindingRow)
        .where(or_(user_condition, group_condition))
        .order_by(RoleBindingRow.id)
    )
    return tuple(_build_binding(row) for row in session.scalars(query))


def list_bindings(session: Session, namespace: str | None = None) -> list[RoleBinding]:
    """Return every role binding, or those of one namespace, in the order of their creation."""
    query = select(RoleBindingRow).order_by(RoleBindingRow.id)
    if namespace is not None:
        query = query.where(RoleBindingRow.namespace == namespace)
    return [_build_binding(row) for row in session.scalars(query)]


def _build_token(row: TokenRow) -> ApiToken:
    return ApiToken(
        name=row.name,
        user=row.user,
        groups=tuple(row.groups or ()),
        uid=str(row.uid),
        created=row.created,
        expires=row.expires,
    )


def _build_binding(row: RoleBindingRow) -> RoleBinding:
    return RoleBinding(row.role, row.namespace, row.stream, row.subject_kind, row.subject)
