"""How the console writes what Django formats by language, where we want another form than its own."""
