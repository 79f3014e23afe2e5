"""The gateways that are measured side by side: each file tells how one of them is found, started and named."""
