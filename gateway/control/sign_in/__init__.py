"""Signing in with a one-time link, and the page of who has signed in."""
