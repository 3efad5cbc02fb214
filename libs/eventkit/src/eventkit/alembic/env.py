"""What alembic runs, for any service: the connection and its transaction are the caller's (`migrations.Migrations`)."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table_schema=given["schema"])
context.run_migrations()
