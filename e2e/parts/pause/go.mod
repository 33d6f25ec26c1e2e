module obit-e2e.local/pause

go 1.26.0
