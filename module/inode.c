// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "cache.h"
#include "compat.h"
#include "domain.h"
#include "inode.h"
#include "store.h"

static const struct inode_operations dir_iops;
static const struct inode_operations file_iops;
static const struct inode_operations symlink_iops;
static const struct inode_operations special_iops;

/* What a name adds to the size of its directory, as in tmpfs. */
#define DIRENT_SIZE	20

static struct kmem_cache *cache;

/*
 * Zapping, unpinning and faulting mark folios dirty through here. There is
 * nothing else: blocks are not in the page cache, i_pages stays empty.
 */
static int kvl_read_folio(struct file *file, struct folio *folio)
{
	/* Only for those who read the page cache behind our back. */
	folio_unlock(folio);
	return -EIO;
}

static const struct address_space_operations kvl_aops = {
	.read_folio = kvl_read_folio,
	.dirty_folio = noop_dirty_folio,
};

static void init_once(void *p)
{
	struct kvl_region *r = p;

	inode_init_once(&r->inode);
	spin_lock_init(&r->table_lock);
	init_rwsem(&r->xattr_sem);
}

int kvl_inode_init(void)
{
	cache = kmem_cache_create("kvlift_region", sizeof(struct kvl_region),
				  0, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT,
				  init_once);
	return cache ? 0 : -ENOMEM;
}

void kvl_inode_exit(void)
{
	/* Inodes are freed after a grace period. */
	rcu_barrier();
	kmem_cache_destroy(cache);
}

struct inode *kvl_inode_alloc(struct super_block *sb)
{
	struct kvl_region *r = alloc_inode_sb(sb, cache, GFP_KERNEL);

	if (!r)
		return NULL;
	kvl_region_init(r);
	r->domain = NULL;
	INIT_LIST_HEAD(&r->xattrs);
	r->xattr_bytes = 0;
	atomic_inc(&kvl_objects.inodes);
	return &r->inode;
}

void kvl_inode_free(struct inode *inode)
{
	if (S_ISLNK(inode->i_mode))
		kfree(inode->i_link);
	kmem_cache_free(cache, kvl_region(inode));
	atomic_dec(&kvl_objects.inodes);
}

void kvl_inode_evict(struct inode *inode)
{
	struct kvl_region *r = kvl_region(inode);

	truncate_inode_pages_final(&inode->i_data);
	if (S_ISREG(inode->i_mode)) {
		xa_erase(&kvl_region_pool(r)->regions, r->id);
		kvl_store_forget(r);
		kvl_cache_forget(r);
		kvl_region_free_blocks(r);
		atomic_dec(&kvl_objects.regions);
	}
	kvl_xattr_free(r);
	if (r->domain)
		kvl_domain_put(r->domain);
	clear_inode(inode);
}

struct inode *kvl_inode_new(struct mnt_idmap *idmap, struct super_block *sb,
			    struct inode *dir, umode_t mode, dev_t dev)
{
	struct kvl_pool *pool = kvl_sb_pool(sb);
	struct inode *inode = new_inode(sb);
	struct kvl_region *r;

	if (!inode)
		return NULL;
	r = kvl_region(inode);
	r->id = atomic64_inc_return(&pool->next_id);
	r->domain = dir ? kvl_domain_of(kvl_region(dir)) :
			  kvl_domain_get(pool->root_domain);
	inode->i_ino = r->id;
	inode_init_owner(idmap, inode, dir, mode);
	simple_inode_init_ts(inode);
	inode->i_mapping->a_ops = &kvl_aops;
	switch (mode & S_IFMT) {
	case S_IFREG:
		inode->i_op = &file_iops;
		inode->i_fop = &kvl_file_fops;
		/* Without memory for it policies cannot fetch its blocks. */
		xa_store(&pool->regions, r->id, r, GFP_KERNEL_ACCOUNT);
		atomic_inc(&kvl_objects.regions);
		break;
	case S_IFDIR:
		inode->i_op = &dir_iops;
		inode->i_fop = &kvl_dir_fops;
		inc_nlink(inode);
		break;
	case S_IFLNK:
		inode->i_op = &symlink_iops;
		break;
	default:
		inode->i_op = &special_iops;
		init_special_inode(inode, mode, dev);
		break;
	}
	return inode;
}

/* The one place that every change of a name passes. */
enum name_change {
	NAME_ADD,
	NAME_REMOVE,
	NAME_MOVE,
};

static void change_name(enum name_change what, struct inode *dir,
			struct dentry *dentry, struct inode *inode)
{
	switch (what) {
	case NAME_ADD:
		kvl_d_instantiate(dentry, inode);
		dir->i_size += DIRENT_SIZE;
		break;
	case NAME_REMOVE:
		dir->i_size -= DIRENT_SIZE;
		break;
	case NAME_MOVE:
		break;
	}
	inode_set_mtime_to_ts(dir, inode_set_ctime_current(dir));
}

static int add(struct mnt_idmap *idmap, struct inode *dir,
	       struct dentry *dentry, umode_t mode, dev_t dev, char *link)
{
	struct inode *inode = kvl_inode_new(idmap, dir->i_sb, dir, mode, dev);
	int err;

	if (!inode) {
		kfree(link);
		return -ENOMEM;
	}
	if (link) {
		inode->i_link = link;
		inode->i_size = strlen(link);
	}
	err = kvl_xattr_init_security(inode, dir, &dentry->d_name);
	if (err) {
		iput(inode);
		return err;
	}
	if (S_ISDIR(mode))
		inc_nlink(dir);
	change_name(NAME_ADD, dir, dentry, inode);
	return 0;
}

static int kvl_mknod(struct mnt_idmap *idmap, struct inode *dir,
		     struct dentry *dentry, umode_t mode, dev_t dev)
{
	return add(idmap, dir, dentry, mode, dev, NULL);
}

static KVL_CREATE(kvl_create)
{
	return add(idmap, dir, dentry, mode | S_IFREG, 0, NULL);
}

static KVL_MKDIR_T kvl_mkdir(struct mnt_idmap *idmap, struct inode *dir,
			     struct dentry *dentry, umode_t mode)
{
	return KVL_MKDIR_RET(add(idmap, dir, dentry, mode | S_IFDIR, 0, NULL));
}

static int kvl_symlink(struct mnt_idmap *idmap, struct inode *dir,
		       struct dentry *dentry, const char *target)
{
	char *link = kstrdup(target, GFP_KERNEL_ACCOUNT);

	if (!link)
		return -ENOMEM;
	return add(idmap, dir, dentry, S_IFLNK | 0777, 0, link);
}

static int kvl_tmpfile(struct mnt_idmap *idmap, struct inode *dir,
		       struct file *file, umode_t mode)
{
	struct inode *inode = kvl_inode_new(idmap, dir->i_sb, dir, mode, 0);
	int err;

	if (!inode)
		return finish_open_simple(file, -ENOMEM);
	err = kvl_xattr_init_security(inode, dir, NULL);
	if (err) {
		iput(inode);
		return finish_open_simple(file, err);
	}
	d_tmpfile(file, inode);
	return finish_open_simple(file, 0);
}

static int kvl_link(struct dentry *old, struct inode *dir,
		    struct dentry *dentry)
{
	struct inode *inode = d_inode(old);

	if (kvl_region(inode)->domain != kvl_region(dir)->domain)
		return -EXDEV;
	inode_set_ctime_current(inode);
	/* A file made by O_TMPFILE gets its first name here. */
	inc_nlink(inode);
	ihold(inode);
	change_name(NAME_ADD, dir, dentry, inode);
	kvl_cache_add(kvl_region(inode));
	return 0;
}

static void lost_name(struct inode *inode)
{
	if (S_ISREG(inode->i_mode) && !inode->i_nlink)
		kvl_cache_forget(kvl_region(inode));
}

static int kvl_unlink(struct inode *dir, struct dentry *dentry)
{
	int err = simple_unlink(dir, dentry);

	if (err)
		return err;
	change_name(NAME_REMOVE, dir, dentry, d_inode(dentry));
	lost_name(d_inode(dentry));
	return 0;
}

static int kvl_rmdir(struct inode *dir, struct dentry *dentry)
{
	int err = simple_rmdir(dir, dentry);

	if (err)
		return err;
	change_name(NAME_REMOVE, dir, dentry, d_inode(dentry));
	kvl_domain_removed(kvl_region(d_inode(dentry)));
	return 0;
}

static int kvl_rename(struct mnt_idmap *idmap, struct inode *old_dir,
		      struct dentry *old, struct inode *new_dir,
		      struct dentry *new, unsigned int flags)
{
	bool replaced = d_really_is_positive(new) && !(flags & RENAME_EXCHANGE);
	int err;

	if (kvl_region(old_dir)->domain != kvl_region(new_dir)->domain)
		return -EXDEV;
	err = simple_rename(idmap, old_dir, old, new_dir, new, flags);
	if (err)
		return err;
	if (!(flags & RENAME_EXCHANGE)) {
		old_dir->i_size -= DIRENT_SIZE;
		if (!replaced)
			new_dir->i_size += DIRENT_SIZE;
	}
	change_name(NAME_MOVE, old_dir, old, d_inode(old));
	if (new_dir != old_dir)
		change_name(NAME_MOVE, new_dir, new, d_inode(old));
	if (replaced && S_ISDIR(d_inode(new)->i_mode))
		kvl_domain_removed(kvl_region(d_inode(new)));
	else if (replaced)
		lost_name(d_inode(new));
	return 0;
}

static int kvl_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
		       struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	int err = setattr_prepare(idmap, dentry, attr);

	if (err)
		return err;
	if (attr->ia_valid & ATTR_SIZE && kvl_region(inode)->sealed)
		return -EPERM;
	if (attr->ia_valid & ATTR_SIZE && attr->ia_size != inode->i_size) {
		err = kvl_region_truncate(kvl_region(inode), attr->ia_size);
		if (err)
			return err;
		/* truncate(2) changes the times also without ATTR_MTIME. */
		kvl_inode_modified(inode);
	}
	setattr_copy(idmap, inode, attr);
	return 0;
}

static int kvl_getattr(struct mnt_idmap *idmap, const struct path *path,
		       struct kstat *stat, u32 request_mask,
		       unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);

	generic_fillattr(idmap, request_mask, inode, stat);
	if (S_ISREG(inode->i_mode))
		stat->blksize = kvl_sb_pool(inode->i_sb)->block_size;
	return 0;
}

static const struct inode_operations file_iops = {
	.setattr = kvl_setattr,
	.getattr = kvl_getattr,
	.listxattr = kvl_listxattr,
};

static const struct inode_operations dir_iops = {
	.create = kvl_create,
	.lookup = simple_lookup,
	.link = kvl_link,
	.unlink = kvl_unlink,
	.symlink = kvl_symlink,
	.mkdir = kvl_mkdir,
	.rmdir = kvl_rmdir,
	.mknod = kvl_mknod,
	.rename = kvl_rename,
	.tmpfile = kvl_tmpfile,
	.setattr = kvl_setattr,
	.getattr = kvl_getattr,
	.listxattr = kvl_listxattr,
};

static const struct inode_operations symlink_iops = {
	.get_link = simple_get_link,
	.setattr = kvl_setattr,
	.getattr = kvl_getattr,
	.listxattr = kvl_listxattr,
};

static const struct inode_operations special_iops = {
	.setattr = kvl_setattr,
	.getattr = kvl_getattr,
	.listxattr = kvl_listxattr,
};
