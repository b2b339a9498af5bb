"""What is known: words, rules and rows. Knows no network and no Celery; other rooms lean on it."""
