"""The change log: resource versions, watch events, object snapshots, notifications of commits."""
