package com.berthdata.berth.spark;

import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.ExternalClusterManager;
import org.apache.spark.scheduler.SchedulerBackend;
import org.apache.spark.scheduler.TaskScheduler;
import org.apache.spark.scheduler.TaskSchedulerImpl;

/** What Spark's service loader finds for master URLs of Berth; see {@link MasterUrl}. */
public final class BerthClusterManager implements ExternalClusterManager {
  @Override
  public boolean canCreate(String masterUrl) {
    return MasterUrl.isOurs(masterUrl);
  }

  @Override
  public TaskScheduler createTaskScheduler(SparkContext context, String masterUrl) {
    return new TaskSchedulerImpl(context);
  }

  @Override
  public SchedulerBackend createSchedulerBackend(SparkContext context, String masterUrl, TaskScheduler scheduler) {
    return new BerthSchedulerBackend(context, (TaskSchedulerImpl) scheduler, Identity.of(System.getenv(), masterUrl));
  }

  @Override
  public void initialize(TaskScheduler scheduler, SchedulerBackend backend) {
    ((TaskSchedulerImpl) scheduler).initialize(backend);
  }
}
