"""Sending notifications: signed webhooks and mail. Knows the contract and nothing of jobs or the store."""
