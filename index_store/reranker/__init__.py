"""Turn a query and a candidate into a score from 0 to 1; numpy only."""
