"""Pictures of the portal's pages, for people to look at."""
