"""Other libraries' functions on Variables, by their protocols."""
