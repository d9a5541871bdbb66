// pgjdbc, as applications use it.
//
// usage: java -cp postgresql.jar Scenarios.java NUMBER [SCENARIO | -SCENARIO ...]     only these, or all but these
// PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say where.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.sql.XAConnection;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.xa.PGXADataSource;

public class Scenarios {
    interface Scenario {
        void play() throws Exception;
    }

    static String number;

    static String table(String name) {
        return name + "_" + number;
    }

    static String env(String name) {
        return System.getenv(name);
    }

    static Connection connect(String options) throws SQLException {
        String url = "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE") + "?" + options;
        return DriverManager.getConnection(url, env("PGUSER"), env("PGPASSWORD"));
    }

    static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void same(Object found, Object expected) {
        check(found == null ? expected == null : found.equals(expected), "found " + found + ", expected " + expected);
    }

    static void fails(String state, Scenario what) throws Exception {
        try {
            what.play();
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error);
            return;
        }
        throw new AssertionError("no error, where " + state + " was expected");
    }

    static void run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static String one(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            check(rows.next(), "no row: " + sql);
            return rows.getString(1);
        }
    }

    static void fresh(Connection connection, String name, String columns) throws SQLException {
        run(connection, "DROP TABLE IF EXISTS " + name);
        run(connection, "CREATE TABLE " + name + " (" + columns + ")");
    }

    /** From the fifth time on pgjdbc names the statement and asks for binary results. */
    static void preparedStatements() throws Exception {
        for (String options : new String[] {"", "prepareThreshold=1", "prepareThreshold=0", "preferQueryMode=simple",
                "preferQueryMode=extendedForPrepared", "preferQueryMode=extendedCacheEverything",
                "binaryTransfer=false", "preparedStatementCacheQueries=3"}) {
            try (Connection connection = connect(options)) {
                for (int turn = 0; turn < 8; turn++) {
                    for (int n = 0; n < 6; n++) {
                        String sql = "SELECT ?::int + " + n + ", ?::text, ?::timestamp, ?::numeric";
                        try (PreparedStatement statement = connection.prepareStatement(sql)) {
                            statement.setInt(1, turn);
                            statement.setString(2, "Grüße " + n);
                            statement.setTimestamp(3, Timestamp.valueOf("2024-02-29 01:02:03"));
                            statement.setBigDecimal(4, new java.math.BigDecimal("12.50"));
                            ResultSet row = statement.executeQuery();
                            check(row.next(), "no row");
                            same(row.getInt(1), turn + n);
                            same(row.getString(2), "Grüße " + n);
                            same(row.getTimestamp(3), Timestamp.valueOf("2024-02-29 01:02:03"));
                            same(row.getBigDecimal(4), new java.math.BigDecimal("12.50"));
                        }
                    }
                }
                try (PreparedStatement kept = connection.prepareStatement("SELECT 1 / ?::int")) {
                    for (int n = 0; n < 12; n++) {
                        final int divisor = n % 3;
                        kept.setInt(1, divisor);
                        if (divisor == 0) {
                            fails("22012", () -> kept.executeQuery());
                        } else {
                            ResultSet row = kept.executeQuery();
                            row.next();
                            same(row.getInt(1), 1 / divisor);
                        }
                    }
                }
            }
        }
        try (Connection connection = connect("")) {
            PreparedStatement statement = connection.prepareStatement("SELECT ?::int AS n, ?::text AS t");
            same(statement.getMetaData().getColumnName(2), "t");
            same(statement.getParameterMetaData().getParameterTypeName(1), "int4");
            check(!statement.unwrap(PGStatement.class).isUseServerPrepare(), "prepared too early");
        }
    }

    static void aChangedTable() throws Exception {
        String name = table("jdbc_changed");
        try (Connection connection = connect("prepareThreshold=1"); Connection other = connect("")) {
            fresh(connection, name, "a int");
            run(connection, "INSERT INTO " + name + " VALUES (1)");
            PreparedStatement statement = connection.prepareStatement("SELECT * FROM " + name);
            for (int n = 0; n < 4; n++) {
                same(statement.executeQuery().getMetaData().getColumnCount(), 1);
            }
            run(other, "ALTER TABLE " + name + " ADD b text DEFAULT 'new'");
            for (int n = 0; n < 4; n++) {
                ResultSet row = statement.executeQuery();
                check(row.next(), "no row");
                same(row.getMetaData().getColumnCount(), 2);
                same(row.getInt(1), 1);
                same(row.getString(2), "new");
            }
            run(connection, "DROP TABLE " + name);
        }
    }

    static void batches() throws Exception {
        String name = table("jdbc_batches");
        for (String options : new String[] {"", "reWriteBatchedInserts=true", "prepareThreshold=1"}) {
            try (Connection connection = connect(options)) {
                fresh(connection, name, "n int PRIMARY KEY, t text");
                connection.setAutoCommit(false);
                String sql = "INSERT INTO " + name + " (n, t) VALUES (?, ?)";
                try (PreparedStatement insert = connection.prepareStatement(sql)) {
                    for (int n = 0; n < 2000; n++) {
                        insert.setInt(1, n);
                        insert.setString(2, "row " + n);
                        insert.addBatch();
                        if (n % 500 == 499) {
                            same(insert.executeBatch().length, 500);
                        }
                    }
                }
                connection.commit();
                same(one(connection, "SELECT count(*) FROM " + name), "2000");
                try (PreparedStatement insert = connection.prepareStatement(sql)) {
                    for (int n : new int[] {5000, 1, 5001}) {
                        insert.setInt(1, n);
                        insert.setString(2, "again");
                        insert.addBatch();
                    }
                    try {
                        insert.executeBatch();
                        throw new AssertionError("the duplicate was taken");
                    } catch (BatchUpdateException error) {
                        same(error.getSQLState(), "23505");
                    }
                }
                connection.rollback();
                same(one(connection, "SELECT count(*) FROM " + name), "2000");
                connection.commit();
                connection.setAutoCommit(true);
                String with = "INSERT INTO " + name + " (n) VALUES (?)";
                try (PreparedStatement keys = connection.prepareStatement(with, Statement.RETURN_GENERATED_KEYS)) {
                    for (int n = 9000; n < 9003; n++) {
                        keys.setInt(1, n);
                        keys.addBatch();
                    }
                    keys.executeBatch();
                    ResultSet generated = keys.getGeneratedKeys();
                    for (int n = 9000; n < 9003; n++) {
                        check(generated.next(), "a key is missing");
                        same(generated.getInt("n"), n);
                    }
                }
                run(connection, "DROP TABLE " + name);
            }
        }
    }

    /** Without autocommit pgjdbc fetches by portals with a row limit. */
    static void fetchSize() throws Exception {
        try (Connection connection = connect("defaultRowFetchSize=70")) {
            connection.setAutoCommit(false);
            for (int turn = 0; turn < 3; turn++) {
                try (PreparedStatement walk = connection.prepareStatement("SELECT n FROM generate_series(1, ?) AS n")) {
                    walk.setInt(1, 1000);
                    ResultSet rows = walk.executeQuery();
                    long total = 0;
                    long rowsSeen = 0;
                    while (rows.next()) {
                        total += rows.getInt(1);
                        if (++rowsSeen % 100 == 0) {
                            same(one(connection, "SELECT 7"), "7");
                        }
                    }
                    same(total, 500500L);
                }
                connection.commit();
            }
            Statement left = connection.createStatement();
            ResultSet early = left.executeQuery("SELECT generate_series(1, 100000)");
            check(early.next(), "no row");
            left.close();
            connection.rollback();
            same(one(connection, "SELECT 1"), "1");
            try (Statement few = connection.createStatement()) {
                few.setMaxRows(3);
                ResultSet rows = few.executeQuery("SELECT generate_series(1, 1000)");
                int count = 0;
                while (rows.next()) {
                    count++;
                }
                same(count, 3);
            }
            connection.commit();
            Statement scrolling = connection.createStatement(
                ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT);
            ResultSet rows = scrolling.executeQuery("SELECT generate_series(1, 10)");
            check(rows.absolute(7), "no seventh row");
            connection.commit();
            check(rows.previous() && rows.getInt(1) == 6, "the row before");
        }
    }

    static void copies() throws Exception {
        String name = table("jdbc_copies");
        try (Connection connection = connect("")) {
            fresh(connection, name, "n int PRIMARY KEY, t text");
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder lines = new StringBuilder();
            for (int n = 0; n < 5000; n++) {
                lines.append(n).append("\trow ").append(n).append('\n');
            }
            same(copy.copyIn("COPY " + name + " FROM STDIN", new StringReader(lines.toString())), 5000L);
            StringWriter out = new StringWriter();
            same(copy.copyOut("COPY (SELECT * FROM " + name + " ORDER BY n) TO STDOUT", out), 5000L);
            same(out.toString(), lines.toString());
            fails("23505", () -> copy.copyIn("COPY " + name + " FROM STDIN", new StringReader("1\tx\n")));
            var cancelled = copy.copyIn("COPY " + name + " FROM STDIN");
            cancelled.writeToCopy("9000\tx\n".getBytes(), 0, 7);
            cancelled.cancelCopy();
            same(one(connection, "SELECT count(*) FROM " + name), "5000");
            run(connection, "DROP TABLE " + name);
        }
    }

    /** With autosave a failed statement does not cost the transaction. */
    static void autosave() throws Exception {
        String name = table("jdbc_autosave");
        for (String options : new String[] {"autosave=always", "autosave=conservative&prepareThreshold=1", "autosave=never"}) {
            try (Connection connection = connect(options); Connection other = connect("")) {
                fresh(connection, name, "n int PRIMARY KEY");
                connection.setAutoCommit(false);
                PreparedStatement all = connection.prepareStatement("SELECT * FROM " + name);
                run(connection, "INSERT INTO " + name + " VALUES (1)");
                all.executeQuery();
                connection.commit();
                run(other, "ALTER TABLE " + name + " ADD t text");
                run(connection, "INSERT INTO " + name + " VALUES (2)");
                if (!options.endsWith("never")) {
                    same(all.executeQuery().getMetaData().getColumnCount(), 2);
                }
                fails("23505", () -> run(connection, "INSERT INTO " + name + " VALUES (2)"));
                if (options.endsWith("always")) {
                    run(connection, "INSERT INTO " + name + " VALUES (3)");
                    connection.commit();
                    same(one(connection, "SELECT count(*) FROM " + name), "3");
                } else {
                    fails("25P02", () -> run(connection, "SELECT 1"));
                    connection.rollback();
                    same(one(connection, "SELECT count(*) FROM " + name), "1");
                }
                connection.commit();
                run(other, "DROP TABLE " + name);
            }
        }
    }

    static void savepoints() throws Exception {
        String name = table("jdbc_savepoints");
        try (Connection connection = connect("")) {
            fresh(connection, name, "n int PRIMARY KEY");
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            run(connection, "INSERT INTO " + name + " VALUES (1)");
            Savepoint named = connection.setSavepoint("it's \"named\"");
            run(connection, "INSERT INTO " + name + " VALUES (2)");
            connection.rollback(named);
            Savepoint unnamed = connection.setSavepoint();
            fails("23505", () -> run(connection, "INSERT INTO " + name + " VALUES (1)"));
            connection.rollback(unnamed);
            connection.releaseSavepoint(unnamed);
            connection.commit();
            for (int n = 0; n < 3; n++) {
                same(one(connection, "SHOW transaction_isolation"), "serializable");
                connection.commit();
            }
            connection.setReadOnly(true);
            fails("25006", () -> run(connection, "INSERT INTO " + name + " VALUES (7)"));
            connection.rollback();
            connection.setReadOnly(false);
            same(one(connection, "SELECT string_agg(n::text, ',') FROM " + name), "1");
            connection.commit();
            connection.setAutoCommit(true);
            run(connection, "DROP TABLE " + name);
        }
    }

    static class OwnXid implements Xid {
        final byte[] global;

        OwnXid(String name) {
            global = name.getBytes();
        }

        @Override
        public int getFormatId() {
            return 7;
        }

        @Override
        public byte[] getGlobalTransactionId() {
            return global;
        }

        @Override
        public byte[] getBranchQualifier() {
            return new byte[] {1};
        }
    }

    static void distributedTransactions() throws Exception {
        String name = table("jdbc_xa");
        try (Connection connection = connect("")) {
            fresh(connection, name, "n int");
        }
        PGXADataSource source = new PGXADataSource();
        source.setUrl("jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE"));
        source.setUser(env("PGUSER"));
        source.setPassword(env("PGPASSWORD"));
        Xid[] xids = {new OwnXid(table("kept")), new OwnXid(table("undone"))};
        XAConnection distributed = source.getXAConnection();
        XAResource resource = distributed.getXAResource();
        Connection connection = distributed.getConnection();
        for (int n = 0; n < 2; n++) {
            resource.start(xids[n], XAResource.TMNOFLAGS);
            run(connection, "INSERT INTO " + name + " VALUES (" + n + ")");
            resource.end(xids[n], XAResource.TMSUCCESS);
            same(resource.prepare(xids[n]), XAResource.XA_OK);
        }
        int found = 0;
        for (Xid xid : resource.recover(XAResource.TMSTARTRSCAN | XAResource.TMENDRSCAN)) {
            for (Xid own : xids) {
                found += Arrays.equals(xid.getGlobalTransactionId(), own.getGlobalTransactionId()) ? 1 : 0;
            }
        }
        same(found, 2);
        resource.commit(xids[0], false);
        resource.rollback(xids[1]);
        distributed.close();
        try (Connection after = connect("")) {
            same(one(after, "SELECT string_agg(n::text, ',') FROM " + name), "0");
            run(after, "DROP TABLE " + name);
        }
    }

    static void notifications() throws Exception {
        String channel = table("jdbc_channel");
        try (Connection listener = connect(""); Connection sender = connect("")) {
            run(listener, "LISTEN " + channel);
            for (String word : new String[] {"one", "two"}) {
                run(sender, "NOTIFY " + channel + ", '" + word + "'");
            }
            run(listener, "NOTIFY " + channel + ", 'own'");
            PGConnection own = listener.unwrap(PGConnection.class);
            List<String> heard = new ArrayList<>();
            for (int turn = 0; turn < 40 && heard.size() < 3; turn++) {
                PGNotification[] some = own.getNotifications(500);
                for (PGNotification notification : some == null ? new PGNotification[0] : some) {
                    same(notification.getName(), channel);
                    heard.add(notification.getParameter());
                    if (notification.getParameter().equals("own")) {
                        same(notification.getPID(), own.getBackendPID());
                    }
                }
            }
            same(heard, List.of("one", "two", "own"));
            run(listener, "UNLISTEN *");
        }
    }

    static void concurrently() throws Exception {
        String name = table("jdbc_concurrently");
        try (Connection connection = connect("")) {
            fresh(connection, name, "worker int, n int");
        }
        ExecutorService workers = Executors.newFixedThreadPool(10);
        List<Future<Integer>> done = new ArrayList<>();
        for (int worker = 0; worker < 10; worker++) {
            final int own = worker;
            Callable<Integer> work = () -> {
                try (Connection connection = connect("prepareThreshold=2")) {
                    connection.setAutoCommit(false);
                    PreparedStatement insert = connection.prepareStatement("INSERT INTO " + name + " VALUES (?, ?)");
                    PreparedStatement count = connection.prepareStatement("SELECT count(*) FROM " + name + " WHERE worker = ?");
                    for (int n = 0; n < 20; n++) {
                        insert.setInt(1, own);
                        insert.setInt(2, n);
                        same(insert.executeUpdate(), 1);
                        count.setInt(1, own);
                        ResultSet row = count.executeQuery();
                        row.next();
                        same(row.getInt(1), n + 1);
                        connection.commit();
                    }
                    return own;
                }
            };
            done.add(workers.submit(work));
        }
        for (Future<Integer> one : done) {
            one.get();
        }
        workers.shutdown();
        try (Connection connection = connect("")) {
            same(one(connection, "SELECT count(*) FROM " + name), "200");
            run(connection, "DROP TABLE " + name);
        }
    }

    static void cancelling() throws Exception {
        try (Connection connection = connect("")) {
            Statement sleeping = connection.createStatement();
            sleeping.setQueryTimeout(1);
            fails("57014", () -> sleeping.execute("SELECT pg_sleep(60)"));
            same(one(connection, "SELECT 'still here'"), "still here");
        }
    }

    static void settings() throws Exception {
        String schema = table("jdbc_schema");
        try (Connection connection = connect("currentSchema=pg_catalog&ApplicationName=mine&options=-c%20work_mem=7MB")) {
            same(one(connection, "SHOW search_path"), "pg_catalog");
            same(one(connection, "SHOW application_name"), "mine");
            same(one(connection, "SHOW work_mem"), "7MB");
            run(connection, "DROP SCHEMA IF EXISTS " + schema + " CASCADE");
            run(connection, "CREATE SCHEMA " + schema);
            connection.setSchema(schema);
            connection.setClientInfo("ApplicationName", "other");
            run(connection, "CREATE TABLE here (n int)");
            for (int n = 0; n < 4; n++) {
                run(connection, "INSERT INTO here VALUES (" + n + ")");
                same(connection.getSchema(), schema);
                same(one(connection, "SHOW application_name"), "other");
            }
            run(connection, "SET TIME ZONE 'Asia/Tokyo'");
            same(one(connection, "SELECT '2024-01-01 00:00+00'::timestamptz"), "2024-01-01 09:00:00+09");
            run(connection, "RESET ALL");
            same(one(connection, "SHOW search_path"), "pg_catalog");
            same(one(connection, "SHOW work_mem"), "7MB");
            run(connection, "DROP SCHEMA " + schema + " CASCADE");
        }
        fails("28P01", () -> DriverManager.getConnection(
            "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE"), env("PGUSER"), "wrong"));
    }

    static void largeObjects() throws Exception {
        try (Connection connection = connect("")) {
            connection.setAutoCommit(false);
            LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
            long oid = manager.createLO(LargeObjectManager.READWRITE);
            LargeObject object = manager.open(oid, LargeObjectManager.READWRITE);
            byte[] part = new byte[100_000];
            Arrays.fill(part, (byte) 7);
            object.write(part);
            object.seek(50_000);
            same(object.read(10).length, 10);
            same(object.size(), 100_000);
            object.close();
            connection.commit();
            object = manager.open(oid, LargeObjectManager.READ);
            check(Arrays.equals(object.read(100_000), part), "other bytes");
            object.close();
            manager.delete(oid);
            connection.commit();
        }
    }

    static void metadata() throws Exception {
        String name = table("jdbc_metadata");
        try (Connection connection = connect("")) {
            fresh(connection, name, "id serial PRIMARY KEY, t text NOT NULL, a int[]");
            ResultSet columns = connection.getMetaData().getColumns(null, "public", name, null);
            List<String> found = new ArrayList<>();
            while (columns.next()) {
                found.add(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME"));
            }
            same(found, List.of("id serial", "t text", "a _int4"));
            ResultSet keys = connection.getMetaData().getPrimaryKeys(null, "public", name);
            check(keys.next() && keys.getString("COLUMN_NAME").equals("id"), "the primary key");
            run(connection, "DROP TABLE " + name);
        }
    }

    public static void main(String[] arguments) {
        number = arguments[0];
        List<String> words = Arrays.asList(arguments).subList(1, arguments.length);
        List<String> wanted = words.stream().filter(word -> !word.startsWith("-")).toList();
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("preparedStatements", Scenarios::preparedStatements);
        scenarios.put("aChangedTable", Scenarios::aChangedTable);
        scenarios.put("batches", Scenarios::batches);
        scenarios.put("fetchSize", Scenarios::fetchSize);
        scenarios.put("copies", Scenarios::copies);
        scenarios.put("autosave", Scenarios::autosave);
        scenarios.put("savepoints", Scenarios::savepoints);
        scenarios.put("distributedTransactions", Scenarios::distributedTransactions);
        scenarios.put("notifications", Scenarios::notifications);
        scenarios.put("concurrently", Scenarios::concurrently);
        scenarios.put("cancelling", Scenarios::cancelling);
        scenarios.put("settings", Scenarios::settings);
        scenarios.put("largeObjects", Scenarios::largeObjects);
        scenarios.put("metadata", Scenarios::metadata);
        boolean failed = false;
        for (Map.Entry<String, Scenario> one : scenarios.entrySet()) {
            if (!wanted.isEmpty() && !wanted.contains(one.getKey()) || words.contains("-" + one.getKey())) {
                continue;
            }
            try {
                one.getValue().play();
                System.out.println("ok " + one.getKey());
            } catch (Throwable error) {
                failed = true;
                System.out.println("FAILED " + one.getKey());
                error.printStackTrace(System.out);
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
