"""Who may call: applications, subscriptions, keys."""
