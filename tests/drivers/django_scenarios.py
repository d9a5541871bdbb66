"""Django: models, migrations, transactions, server-side cursors, long-lived connections."""
import os
import sys
import types

import django
from django.conf import settings

from scenarios import raises, run, table, together


def configured(**options):
    where = os.environ
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": where["PGDATABASE"],
        "USER": where["PGUSER"],
        "PASSWORD": where["PGPASSWORD"],
        "HOST": where["PGHOST"],
        "PORT": where["PGPORT"],
    }
    return {**database, **options}


# An application of Django's is a package; this one has its models here.
package = types.ModuleType("shop")
package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
sys.modules["shop"] = package

settings.configure(
    DATABASES={
        "default": configured(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True),
        "other": configured(CONN_MAX_AGE=0, OPTIONS={"isolation_level": 4, "server_side_binding": True}),
        "pooled": configured(OPTIONS={"pool": {"min_size": 2, "max_size": 6}}),
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop"],
    USE_TZ=True,
    TIME_ZONE="Europe/Berlin",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402: Django wants its settings first
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, connections, migrations, models, transaction  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.db.models import Count, Prefetch, Q, Sum  # noqa: E402
from django.db.utils import ProgrammingError  # noqa: E402
from django.utils import timezone  # noqa: E402


class Shop(models.Model):
    name = models.CharField(max_length=50, unique=True)
    tags = ArrayField(models.TextField(), default=list)
    extra = models.JSONField(default=dict)
    opened = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "shop"
        db_table = table("dj_shop")


class Sale(models.Model):
    shop = models.ForeignKey(Shop, on_delete=models.CASCADE, related_name="sales")
    amount = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        app_label = "shop"
        db_table = table("dj_sale")


class fresh:
    """Tables for one scenario."""

    def __enter__(self):
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {Sale._meta.db_table}, {Shop._meta.db_table}")
        with connection.schema_editor() as editor:
            editor.create_model(Shop)
            editor.create_model(Sale)

    def __exit__(self, *_):
        with connection.schema_editor() as editor:
            editor.delete_model(Sale)
            editor.delete_model(Shop)


def object_relational():
    with fresh():
        shops = Shop.objects.bulk_create([Shop(name=f"shop {n}", tags=["a", str(n)], extra={"n": n}) for n in range(50)])
        Sale.objects.bulk_create([Sale(shop=shop, amount=n) for shop in shops for n in range(10)], batch_size=97)
        assert Shop.objects.filter(extra__n__gte=45, tags__contains=["a"]).count() == 5
        best = Shop.objects.annotate(total=Sum("sales__amount"), n=Count("sales")).order_by("id").first()
        assert (best.total, best.n) == (45, 10)
        Shop.objects.filter(name="shop 3").update(extra={"n": 1000})
        assert Shop.objects.get(name="shop 3").extra == {"n": 1000}
        loaded = Shop.objects.prefetch_related(Prefetch("sales", Sale.objects.filter(amount__gt=7))).get(name="shop 4")
        assert len(loaded.sales.all()) == 2
        found, made = Shop.objects.get_or_create(name="shop 4")
        assert not made and found.pk == loaded.pk
        found, made = Shop.objects.update_or_create(name="new", defaults={"tags": ["x"]})
        assert made and found.opened.tzinfo is not None
        Shop.objects.filter(Q(name="new") | Q(name="shop 0")).delete()
        assert Sale.objects.count() == 490
        assert Shop.objects.order_by("-name").values_list("name", flat=True)[0] == "shop 9"
        assert Shop.objects.raw(f"SELECT * FROM {Shop._meta.db_table} WHERE name = %s", ["shop 9"])[0].extra == {"n": 9}


def transactions():
    with fresh():
        done = []
        with transaction.atomic():
            Shop.objects.create(name="kept")
            transaction.on_commit(lambda: done.append("committed"))
            for _ in range(3):
                try:
                    with transaction.atomic():
                        Shop.objects.create(name="lost")
                        Shop.objects.create(name="kept")
                    raise AssertionError("the duplicate was taken")
                except IntegrityError:
                    pass
            assert Shop.objects.select_for_update(skip_locked=True).count() == 1
        assert done == ["committed"]
        try:
            with transaction.atomic():
                Shop.objects.create(name="undone")
                raise KeyError("the program gives up")
        except KeyError:
            pass
        assert list(Shop.objects.values_list("name", flat=True)) == ["kept"]
        # Deferred foreign keys are checked when the transaction ends.
        try:
            with transaction.atomic():
                Sale.objects.create(shop_id=424242, amount=1)
                assert Sale.objects.count() == 1
            raise AssertionError("the orphan was taken")
        except IntegrityError:
            pass


def server_side_cursors():
    with fresh():
        Shop.objects.bulk_create([Shop(name=f"shop {n}") for n in range(1000)])
        with transaction.atomic():
            names = [shop.name for shop in Shop.objects.order_by("id").iterator(chunk_size=70)]
        assert names == [f"shop {n}" for n in range(1000)]
        # Outside a transaction Django declares the cursor WITH HOLD.
        ids = [pk for pk in Shop.objects.values_list("id", flat=True).iterator(chunk_size=70)]
        assert len(set(ids)) == 1000
        both = zip(Shop.objects.order_by("id").iterator(chunk_size=50), Shop.objects.order_by("-id").iterator(chunk_size=60))
        assert sum(1 for first, second in both if first.pk != second.pk) == 1000


def migrating():
    schema = table("dj_migrations")
    where = connections["other"]
    with where.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        cursor.execute(f"CREATE SCHEMA {schema}")
    where.close()
    where.settings_dict["OPTIONS"]["options"] = f"-c search_path={schema}"
    try:
        call_command("migrate", database="other", verbosity=0)
        executor = MigrationExecutor(where)
        assert not executor.migration_plan(executor.loader.graph.leaf_nodes())
        from django.contrib.auth.models import User

        User.objects.db_manager("other").create_user("somebody", password="x")
        assert User.objects.using("other").get(username="somebody").check_password("x")
        operation = migrations.AddField("shop", "n", models.IntegerField(default=7))
        assert operation.describe() == "Add field n to shop"
        call_command("migrate", "auth", "0001", database="other", verbosity=0)
    finally:
        del where.settings_dict["OPTIONS"]["options"]
        where.close()
        with where.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
        where.close()


def long_lived_connections():
    with fresh():

        def work(worker):
            try:
                for n in range(10):
                    with transaction.atomic():
                        Shop.objects.create(name=f"{worker} {n}")
                    assert Shop.objects.filter(name__startswith=f"{worker} ").count() == n + 1
                    # What Django does at the end of a request; with CONN_MAX_AGE the connection stays.
                    connection.close_if_unusable_or_obsolete()
            finally:
                connections.close_all()

        together(10, work)
        assert Shop.objects.count() == 100


def other_databases():
    with fresh():
        with transaction.atomic(using="other"), connections["other"].cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone()[0] == "serializable"
            cursor.execute("SHOW TimeZone")
            assert cursor.fetchone()[0] == "UTC"
        Shop.objects.using("other").create(name="through the other")
        assert Shop.objects.using("other").get(name="through the other").tags == []
        for n in range(20):
            assert Shop.objects.using("pooled").filter(pk__gt=10**9 + n).count() == 0
        connections["other"].close()
        connections["pooled"].close_pool()


def raw_cursors():
    with connection.cursor() as cursor:
        with raises("42P01"):
            try:
                cursor.execute("SELECT * FROM no_such_table")
            except ProgrammingError as error:
                raise error.__cause__
        cursor.executemany("SELECT %s::int", [(1,), (2,)])
        cursor.execute("SELECT %s::text, now()", ["%"])
        assert cursor.fetchone()[0] == "%"
        with cursor.copy("COPY (SELECT generate_series(1, 3)) TO STDOUT") as copying:
            assert [row for row in copying.rows()] == [("1",), ("2",), ("3",)]
        assert connection.introspection.table_names(cursor) is not None
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem TO '9MB'")
        cursor.execute("SHOW work_mem")
        assert cursor.fetchone()[0] == "9MB"
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SHOW work_mem")
        assert cursor.fetchone()[0] != "9MB"


run([
    object_relational, transactions, server_side_cursors, migrating, long_lived_connections, other_databases, raw_cursors,
])
