/* How many processors this process may use. */
#ifndef RUNTIME_BASE_QUOTA_H
#define RUNTIME_BASE_QUOTA_H

struct vrt_quota {
    int processors; /* of the machine */
    int allowed;    /* of these, by the affinity mask */
    double cpus; /* of processor time, by the control groups: 1.5 is one and a half; 0: no limit */
    int threads; /* what is best started: the default of --threads */
};

/* `root` stands before every path that is read: "", but in tests. */
void vrt_quota_read(struct vrt_quota *q, const char *root);

/* Of that, what the control groups say: the smallest quota of the own group and those above it. */
double vrt_quota_cpus(const char *root);

#endif
