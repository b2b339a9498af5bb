"""Status of every error, as `oc` prints it (imports-4.1)."""

from models.errors import (
    FieldError,
    InvalidObjectError,
    ManifestUnknownError,
    RegistryBlockedError,
    RegistryDeniedError,
    StreamConflictError,
    TransientRegistryError,
    status_of,
)


def test_status_of_missing_manifest_names_its_reference():
    assert status_of(ManifestUnknownError(reference="REG/a/b:none")) == {
        "metadata": {},
        "status": "Failure",
        "message": 'dockerimage.image.openshift.io "REG/a/b:none" not found',
        "reason": "NotFound",
        "details": {"name": "REG/a/b:none", "group": "image.openshift.io", "kind": "dockerimage"},
        "code": 404,
    }


def test_status_of_denied_image_has_no_details():
    status = status_of(RegistryDeniedError(reference="REG/a/b:t"))
    assert status == {
        "metadata": {},
        "status": "Failure",
        "message": 'you may not have access to the container image "REG/a/b:t"',
        "reason": "Unauthorized",
        "code": 401,
    }


def test_denied_error_names_wrong_password():
    error = RegistryDeniedError(reference="REG/a/b:t", bad_password=True)
    assert error.message == 'incorrect username or password for image "REG/a/b:t"'


def test_status_of_registry_error_names_reference_and_cause():
    text = "received unexpected HTTP status: 500 Internal Server Error"
    status = status_of(TransientRegistryError(text, code="http.5xx", reference="REG/a/b:t"))
    assert status["message"] == f"Internal error occurred: REG/a/b:t: {text}"
    assert status["details"] == {"causes": [{"message": f"REG/a/b:t: {text}"}]}
    assert (status["reason"], status["code"]) == ("InternalError", 500)


def test_status_of_blocked_registry_is_forbidden_with_empty_details():
    status = status_of(RegistryBlockedError("docker.io"))
    assert status["message"] == "forbidden: registry docker.io blocked"
    assert (status["reason"], status["details"], status["code"]) == ("Forbidden", {}, 403)


def test_invalid_object_error_lists_each_field_error_once():
    bad = FieldError.invalid("spec.images[0].from.name", "a///b", "invalid reference format")
    none = FieldError.required("metadata.namespace")
    one = InvalidObjectError(kind="ImageStreamImport", name="is", errors=[bad, bad])
    assert one.message == (
        'ImageStreamImport.image.openshift.io "is" is invalid: spec.images[0].from.name: '
        'Invalid value: "a///b": invalid reference format'
    )
    two = InvalidObjectError(kind="ImageStreamImport", name="is", errors=[bad, none])
    assert two.message.endswith("invalid reference format, metadata.namespace: Required value]")
    assert [cause["reason"] for cause in two.details()["causes"]] == [
        "FieldValueInvalid",
        "FieldValueRequired",
    ]


def test_field_error_renders_null_and_true_unquoted():
    assert FieldError.invalid("f", None, "d").message == "Invalid value: null: d"
    assert FieldError.invalid("f", True, "d").message == "Invalid value: true: d"


def test_conflict_error_names_both_resource_versions():
    error = StreamConflictError(
        'the image stream was updated from "1" to "11"', name="a", resource="imagestream"
    )
    assert error.message == (
        'Operation cannot be fulfilled on imagestream.image.openshift.io "a": '
        'the image stream was updated from "1" to "11"'
    )


def test_status_of_foreign_exception_hides_its_text():
    status = status_of(ValueError("password=hunter2"))
    assert "hunter2" not in str(status)
    assert status["code"] == 500
