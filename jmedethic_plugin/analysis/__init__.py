"""Records -> tables -> estimates. The same records give the same tables, whatever their order."""
