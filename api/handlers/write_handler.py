"""POST, PUT and PATCH: decode, carry out in one transaction, show what is stored now."""

from __future__ import annotations

from typing import Any

from api.auth.token_authenticator import require
from api.codec.body_decoder import (
    check_findings,
    decode_applied,
    decode_body,
    find_unknown,
    read_object,
)
from api.kinds.kind_base import BegunMeanwhileError, Kind, Work, do_work, try_again
from api.object_meta import check_namespace
from api.patch.managed_fields import choose_manager, own_changes
from api.patch.merge_keys import is_tracked
from api.patch.patch_types import (
    apply_json_patch,
    apply_merge_patch,
    apply_strategic_patch,
    find_unknown_members,
)
from api.patch.server_side_apply import apply_object
from api.request.api_request import Call
from api.request.content_negotiation import negotiate
from api.request.query_options import (
    CreateOptions,
    PatchOptions,
    parse_create_options,
    parse_patch_options,
    parse_update_options,
)
from api.response.http_response import Reply
from api.response.representation import shape_object
from models.api_errors import BadRequestError, InvalidPatchError, UnsupportedMediaTypeError
from models.errors import AlreadyExistsError, FieldError, InvalidObjectError
from models.resources.wire import Wire

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
MOST_SHOWN = 512  # bytes of a patch that its refusal repeats
_PATCHES = frozenset({JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH})


def create_object(call: Call, kind: Kind) -> Reply:
    """POST to a collection (`api.md` C6): 201 with the stored object."""
    media = negotiate(call.accept, table=kind.has_table, partial="object")
    options = parse_create_options(call.query)
    sent = own_changes(
        None, _read_body(call, kind, options), manager=_manager(call, options), now=call.now
    )
    body = read_object(sent, _model(kind))

    def step(work: Work) -> dict[str, Any]:
        return kind.post(work, call.target.namespace, body)

    shown = do_work(call.house, call.caller, step, now=call.now, dry_run=options.dry_run)
    return shape_object(call, media, kind, shown, code=201)


def replace_object(call: Call, kind: Kind) -> Reply:
    """PUT to an item (C7): 200, or 201 where it was not there before."""
    media = negotiate(call.accept, table=kind.has_table, partial="object")
    options = parse_update_options(call.query)
    kind.check_name(call.target.name)
    sent = _read_body(call, kind, options)
    body = _placed(call, kind, read_object(sent, _model(kind)))

    def step(work: Work) -> tuple[dict[str, Any], bool]:
        wanted = body
        if is_tracked(kind.info.kind):
            current = kind.find_base(work, call.target.namespace, call.target.name)
            owned = own_changes(current, sent, manager=_manager(call, options), now=call.now)
            wanted = _placed(call, kind, read_object(owned, _model(kind)))
        return kind.put(work, call.target.namespace, call.target.name, wanted)

    shown, created = do_work(call.house, call.caller, step, now=call.now, dry_run=options.dry_run)
    return shape_object(call, media, kind, shown, code=201 if created else 200)


def patch_object(call: Call, kind: Kind) -> Reply:
    """PATCH of an item, by four kinds of patches (C8, C9)."""
    media = negotiate(call.accept, table=kind.has_table, partial="object")
    content_type = call.content_type.partition(";")[0].strip().lower()
    if content_type not in _PATCHES:
        raise UnsupportedMediaTypeError("415: Unsupported Media Type", {})
    options = parse_patch_options(call.query, content_type)
    kind.check_name(call.target.name)

    def step(work: Work) -> tuple[dict[str, Any], bool]:
        return _patch(work, call, kind, content_type, options)

    shown, created = do_work(call.house, call.caller, step, now=call.now, dry_run=options.dry_run)
    return shape_object(call, media, kind, shown, code=201 if created else 200)


def _read_body(call: Call, kind: Kind, options: CreateOptions) -> dict[str, Any]:
    info = kind.info
    decoded = decode_body(
        call.content_type,
        call.body,
        kind=info.kind,
        group=info.group,
        version=info.version,
        model=_model(kind),
    )
    call.warnings.extend(check_findings(decoded.findings, options.field_validation, kind=info.kind))
    return decoded.object


def _model(kind: Kind) -> type[Wire]:
    assert kind.info.model is not None
    return kind.info.model


def _placed(call: Call, kind: Kind, body: Wire) -> Wire:
    """The body with the place of its URL; BadRequestError where it names another (C7)."""
    metadata = body.metadata  # type: ignore[attr-defined]
    name = call.target.name
    namespace = call.target.namespace if kind.info.namespaced else ""
    if metadata.name and metadata.name != name:
        raise BadRequestError(
            f"the name of the object ({metadata.name}) does not match the name on the URL ({name})"
        )
    check_namespace(metadata, namespace)
    return body.replace(metadata=metadata.replace(name=name, namespace=namespace))


def _patch(
    work: Work, call: Call, kind: Kind, content_type: str, options: PatchOptions
) -> tuple[dict[str, Any], bool]:
    info = kind.info
    assert info.model is not None
    if content_type == APPLY_PATCH:
        return _apply(work, call, kind, options)
    current = kind.base(work, call.target.namespace, call.target.name)
    if content_type == JSON_PATCH:
        patched = apply_json_patch(current, call.body)
    elif content_type == MERGE_PATCH:
        patched = apply_merge_patch(current, call.body)
    else:
        patched = apply_strategic_patch(current, call.body, info.kind)
    for key in ("kind", "apiVersion"):
        if patched.get(key) != current[key]:
            raise InvalidPatchError(f"{key} may not be changed by a patch")
    _check_unknown(call, _moved(current, patched), kind, options)
    patched = own_changes(
        current,
        patched,
        manager=_manager(call, options),
        now=work.now,
        subresource=call.target.subresource,
    )
    return _put_patched(work, call, kind, current, patched)


def _put_patched(
    work: Work, call: Call, kind: Kind, current: dict[str, Any], patched: dict[str, Any]
) -> tuple[dict[str, Any], bool]:
    body = _placed(call, kind, _read_patched(work, call, kind, current, patched))
    metadata = body.metadata  # type: ignore[attr-defined]
    if metadata.resource_version == current["metadata"].get("resourceVersion", ""):
        body = body.replace(metadata=metadata.replace(resource_version=""))
    return kind.put(work, call.target.namespace, call.target.name, body, patched=True)


def _read_patched(
    work: Work, call: Call, kind: Kind, current: dict[str, Any], patched: dict[str, Any]
) -> Wire:
    """The resource of a patched object; what the patch let alone is not read anew."""
    model = _model(kind)
    old = kind.shown_as_is(work, call.target.namespace, call.target.name)
    if old is None:
        return read_object(patched, model)
    moved = _moved(current, patched)
    read = read_object(moved, model)
    moved.update(dict.fromkeys(current.keys() - patched.keys()))
    names = [name for name, field in model.model_fields.items() if (field.alias or name) in moved]
    return old.replace(**{name: getattr(read, name) for name in names})


def _moved(current: dict[str, Any], patched: dict[str, Any]) -> dict[str, Any]:
    """The parts of the first level that a patch has changed or added."""
    return {
        key: value for key, value in patched.items() if key not in current or current[key] != value
    }


def _apply(
    work: Work, call: Call, kind: Kind, options: PatchOptions
) -> tuple[dict[str, Any], bool]:
    info = kind.info
    assert info.model is not None
    decoded = decode_applied(
        call.body,
        kind=info.kind,
        group=info.group,
        version=info.version,
        model=info.model,
        place=f"{call.target.namespace}/{call.target.name}",
    )
    call.warnings.extend(check_findings(decoded.findings, options.field_validation, kind=info.kind))
    current = kind.find_base(work, call.target.namespace, call.target.name)
    applied = apply_object(
        current,
        decoded.object,
        manager=options.field_manager,
        force=options.force,
        kind=info.kind,
        now=work.now,
        subresource=call.target.subresource,
    )
    if current is None:
        require(
            call.caller,
            verb="create",
            group=info.group,
            resource=info.resource,
            namespace=call.target.namespace,
            name=call.target.name,
        )
        body = _placed(call, kind, read_object(applied, info.model))
        try:
            return kind.post(work, call.target.namespace, body), True
        except AlreadyExistsError as error:
            raise BegunMeanwhileError(try_again("patch", info)) from error
    return _put_patched(work, call, kind, current, applied)


def _check_unknown(call: Call, moved: dict[str, Any], kind: Kind, options: PatchOptions) -> None:
    unknown = [f'unknown field "{path}"' for path in find_unknown(moved, _model(kind))]
    if call.content_type.startswith(JSON_PATCH):
        unknown[:0] = find_unknown_members(call.body)
    if not unknown:
        return
    if options.field_validation == "Strict":
        secret = kind.info.kind == "Secret"
        sent = (
            "<secret contents redacted>"
            if secret
            else call.body[:MOST_SHOWN].decode("utf-8", "replace")
        )
        detail = f"strict decoding error: {', '.join(unknown)}"
        raise InvalidObjectError(
            kind=kind.info.kind,
            name=call.target.name,
            errors=[FieldError.invalid("patch", sent, detail)],
            group=kind.info.group,
        )
    if options.field_validation == "Warn":
        call.warnings.extend(unknown)


def _manager(call: Call, options: CreateOptions) -> str:
    return choose_manager(options.field_manager, call.headers.get("user-agent", ""))
