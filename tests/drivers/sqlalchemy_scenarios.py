"""SQLAlchemy: ORM and core, over psycopg 3 and over asyncpg."""
import asyncio
import datetime
import os

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from scenarios import raises, run, table, together


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = table("sqla_author")
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(100), unique=True)
    extra: orm.Mapped[dict] = orm.mapped_column(JSONB, default=dict)
    tags: orm.Mapped[list[str]] = orm.mapped_column(ARRAY(sa.Text), default=list)
    joined: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = table("sqla_book")
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    version: orm.Mapped[int] = orm.mapped_column()
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Author.id))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")
    __mapper_args__ = {"version_id_col": version}


def url(driver):
    where = os.environ
    return sa.URL.create(
        f"postgresql+{driver}", where["PGUSER"], where["PGPASSWORD"], where["PGHOST"], int(where["PGPORT"]), where["PGDATABASE"]
    )


def engine(**options):
    return sa.create_engine(url("psycopg"), **options)


def fresh(engine):
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)


def object_relational():
    db = engine()
    fresh(db)
    with orm.Session(db) as session:
        session.add_all(
            Author(name=f"author {n}", extra={"n": n}, tags=["a", str(n)], books=[Book(title=f"book {n}.{m}") for m in range(5)])
            for n in range(20)
        )
        session.commit()
    with orm.Session(db) as session:
        query = sa.select(Author).options(orm.selectinload(Author.books)).where(Author.extra["n"].as_integer() == 7)
        author = session.scalars(query).one()
        assert sorted(book.title for book in author.books) == [f"book 7.{m}" for m in range(5)]
        assert author.tags == ["a", "7"] and author.joined.tzinfo is not None
        author.books[0].title = "changed"
        del author.books[1]
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 99
        joined = session.execute(sa.select(Author.name, Book.title).join(Book).where(Book.title == "changed")).all()
        assert [tuple(row) for row in joined] == [("author 7", "changed")]
    # Two that change the same book: the second is told.
    with orm.Session(db) as first, orm.Session(db) as second:
        mine = first.scalars(sa.select(Book).where(Book.title == "book 3.0")).one()
        theirs = second.get(Book, mine.id)
        theirs.title = "theirs"
        second.commit()
        mine.title = "mine"
        try:
            first.commit()
            raise AssertionError("a stale row was written")
        except orm.exc.StaleDataError:
            first.rollback()
    with orm.Session(db) as session:
        locked = session.scalars(sa.select(Author).with_for_update(skip_locked=True).limit(3)).all()
        assert len(locked) == 3
        session.delete(locked[0])
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Author)) == 19
    Base.metadata.drop_all(db)
    db.dispose()


def savepoints():
    db = engine()
    fresh(db)
    with orm.Session(db) as session:
        session.add(Author(name="kept"))
        session.flush()
        for n in range(3):
            with raises("23505"), session.begin_nested():
                session.add(Author(name="kept"))
                session.flush()
        with session.begin_nested():
            session.add(Author(name="also kept"))
        session.commit()
        assert session.scalars(sa.select(Author.name).order_by(Author.name)).all() == ["also kept", "kept"]
    Base.metadata.drop_all(db)
    db.dispose()


def pools_and_pre_ping():
    db = engine(pool_pre_ping=True, pool_size=5, max_overflow=5, pool_recycle=1)
    fresh(db)

    def work(worker):
        for n in range(10):
            with orm.Session(db) as session, session.begin():
                session.add(Author(name=f"{worker} {n}"))

    together(12, work)
    with db.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Author)) == 120
    # The pool's connections are killed behind its back: the ping finds out.
    with db.connect() as connection:
        connection.connection.dbapi_connection.pgconn.finish()
    with db.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    Base.metadata.drop_all(db)
    db.dispose()


def isolation_levels():
    db = engine(isolation_level="REPEATABLE READ")
    with db.connect() as connection:
        for _ in range(3):
            assert connection.scalar(sa.text("SHOW transaction_isolation")) == "repeatable read"
            connection.commit()
        connection = connection.execution_options(isolation_level="SERIALIZABLE", postgresql_readonly=True)
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "serializable"
        with raises("25006"):
            connection.execute(sa.text("CREATE TABLE never (n int)"))
        connection.rollback()
    with db.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
    with db.connect() as connection:
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "repeatable read"
    db.dispose()


def core():
    metadata = sa.MetaData()
    name = table("sqla_core")
    things = sa.Table(
        name, metadata, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True), sa.Column("k", sa.Text, unique=True),
        sa.Column("v", sa.Numeric(20, 4)),
    )
    db = engine()
    metadata.drop_all(db)
    metadata.create_all(db)
    with db.begin() as connection:
        # Many rows in one statement, with the keys they were given.
        rows = [{"k": f"key {n}", "v": n} for n in range(2500)]
        keys = connection.scalars(sa.insert(things).returning(things.c.id, sort_by_parameter_order=True), rows).all()
        assert keys == list(range(1, 2501))
        upsert = insert(things).values(k="key 5", v=50)
        connection.execute(upsert.on_conflict_do_update(index_elements=["k"], set_={"v": upsert.excluded.v}))
        assert connection.scalar(sa.select(things.c.v).where(things.c.k == "key 5")) == 50
        streamed = connection.execution_options(yield_per=100).execute(sa.select(things.c.v).order_by(things.c.id))
        assert sum(len(part) for part in streamed.partitions()) == 2500
    inspector = sa.inspect(db)
    assert [column["name"] for column in inspector.get_columns(name)] == ["id", "k", "v"]
    assert inspector.get_unique_constraints(name)[0]["column_names"] == ["k"]
    metadata.drop_all(db)
    db.dispose()


def temporary_tables():
    db = engine()
    metadata = sa.MetaData()
    staged = sa.Table("staged", metadata, sa.Column("n", sa.Integer), prefixes=["TEMPORARY"])
    with db.connect() as connection:
        metadata.create_all(connection)
        connection.commit()
        connection.execute(staged.insert(), [{"n": n} for n in range(50)])
        connection.commit()
        assert connection.scalar(sa.select(sa.func.sum(staged.c.n))) == 1225
        connection.commit()
        metadata.drop_all(connection)
        connection.commit()
    db.dispose()


def settings_on_connect():
    db = engine(pool_size=3)

    @event.listens_for(db, "connect")
    def prepare(connection, _):
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO pg_catalog")
            cursor.execute("SET statement_timeout TO '17s'")
        connection.commit()

    for _ in range(5):
        with db.connect() as connection:
            assert connection.scalar(sa.text("SHOW search_path")) == "pg_catalog"
            connection.commit()
            assert connection.scalar(sa.text("SHOW statement_timeout")) == "17s"
    db.dispose()


def two_phase():
    db = engine()
    name = table("sqla_two_phase")
    with db.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
        connection.execute(sa.text(f"CREATE TABLE {name} (n int)"))
    with db.connect() as connection:
        transaction = connection.begin_twophase(table("sqla_xid"))
        connection.execute(sa.text(f"INSERT INTO {name} VALUES (1)"))
        transaction.prepare()
        transaction.commit()
        assert connection.scalar(sa.text(f"SELECT n FROM {name}")) == 1
        connection.execute(sa.text(f"DROP TABLE {name}"))
        connection.commit()
    db.dispose()


def over_asyncpg():
    async def play():
        db = create_async_engine(url("asyncpg"), pool_size=5, max_overflow=5, pool_pre_ping=True)
        async with db.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)

        async def work(worker):
            async with AsyncSession(db) as session:
                session.add(Author(name=f"author {worker}", books=[Book(title=f"book {worker}")]))
                await session.commit()
                query = sa.select(Author).options(orm.selectinload(Author.books)).where(Author.name == f"author {worker}")
                author = (await session.scalars(query)).one()
                assert [book.title for book in author.books] == [f"book {worker}"]

        await asyncio.gather(*(work(worker) for worker in range(20)))
        async with db.connect() as connection:
            result = await connection.stream(sa.select(Author.name).order_by(Author.id))
            assert len([row async for row in result]) == 20
        async with db.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        await db.dispose()

    asyncio.run(asyncio.wait_for(play(), 90))


run([
    object_relational, savepoints, pools_and_pre_ping, isolation_levels, core, temporary_tables, settings_on_connect, two_phase,
    over_asyncpg,
])
