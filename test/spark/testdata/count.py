"""Notes the numbers in the files that appear in a folder, each exactly once, over restarts.

Arguments: the input's folder, the ledger's. Each batch becomes one file of the ledger, under its own
number: a batch that is done again after a crash replaces what it wrote before. What a query does not
remember is seen there twice, what it loses is never seen.
"""
import json
import os
import sys

from pyspark.sql import SparkSession

source, ledger = sys.argv[1], sys.argv[2]
spark = SparkSession.builder.appName("count").getOrCreate()
context = spark.sparkContext._jsc.sc()
identity = {"application": context.applicationId(), "attempt": int(context.applicationAttemptId().get())}


def note(batch, number):
    rows = batch.repartition(4).selectExpr("cast(value as long) as n").where("n is not null").collect()
    path = os.path.join(ledger, "batch-%06d.json" % number)
    with open(path + ".part", "w") as f:
        json.dump({**identity, "batch": number, "numbers": [r.n for r in rows]}, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".part", path)
    print("batch", number, len(rows), "numbers", flush=True)


(
    spark.readStream.option("maxFilesPerTrigger", 500)
    .text("file://" + source)
    .writeStream.queryName("count")
    .foreachBatch(note)
    .option("checkpointLocation", "file://" + os.environ["BERTH_SPARK_CHECKPOINT_DIR"] + "/count")
    .trigger(processingTime="1 second")
    .start()
    .awaitTermination()
)
