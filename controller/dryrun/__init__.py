"""Where controller meets sim: decisions carried out in a simulated cluster, and nothing that could reach a real one."""
