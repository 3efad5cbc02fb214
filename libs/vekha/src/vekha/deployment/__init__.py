"""What puts the five services on one machine as containers: their secrets, their accounts on the bus, their roles in the database."""
