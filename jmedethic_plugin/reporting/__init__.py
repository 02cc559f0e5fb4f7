"""Tables and records -> what people read. No pytest in here."""
