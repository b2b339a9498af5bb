"""The wire form: `image.openshift.io/v1` in frozen pydantic. Shapes only, no rules."""
